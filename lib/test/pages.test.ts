import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { $ as colours } from "kleur/colors";
import type { Header } from "../header.ts";
import type { Page } from "../pages.ts";

// Whether the locale has more than ASCII is looked up as the module is loaded.
process.env.LC_ALL = "C.UTF-8";
const { cut, screen, script } = await import("../pages.ts");

colours.enabled = false;

const header: Header = {
  ...{ title: "01 · one", opening: ["An opening."], figure: "a ─ b", run: "me", see: "x(1)" },
  ...{ known: "", needs: [], tries: [], takes: [] },
};

/** A short story, which has all that a page can show. */
function tellOn(page: Page) {
  page.begin(header, 2);
  page.prose("Prose with 'code', as it **is**.");
  page.heading("A part");
  page.line("echo one", false);
  page.output("one\n\ntwo\n");
  page.line("sudo bash", true);
  page.output("a greeting\n");
  page.typed("echo three", "three\n");
  page.typed("exit", "");
  page.closed();
  page.claim("one is one", true, [
    ["here", "1"],
    ["over there", "1\n2"],
  ]);
  page.claim("one is two", false, [["here", ""]]);
  page.table([
    ["flag", "what"],
    ["--a", "it does"],
  ]);
  page.heading("Another");
}

test("screen() has lines at column 0, output beside a margin, and a bar inside of a shell", (t) => {
  const log = mock.method(console, "log", () => {});
  t.after(() => log.mock.restore());
  process.stdout.columns = 80;
  tellOn(screen());
  const shown = log.mock.calls.map(({ arguments: [text] }) => String(text)).join("\n");
  assert.equal(
    shown,
    `01 · one

An opening.

  a ─ b

Prose with 'code', as it is.

── A part  1 of 2

echo one
  one
  ${""}
  two

sudo bash
  a greeting
┌ inside
echo three
│ three
│
exit
└ back outside

✔ one is one
    here        1
    over there  1
  2

✘ one is two
    here  (nothing)

  flag  what
  --a   it does

── Another  2 of 2`,
  );
});

test("script() has lines as they are typed, and all else as comments", () => {
  const { page, text, lines, parts } = script();
  tellOn(page);
  assert.equal(
    text.join("\n"),
    `
# An opening.

# a ─ b

# Prose with 'code', as it is.

# ── A part

echo one

sudo bash <<'INSIDE'
echo three
exit
INSIDE

# ✔ one is one

# ✔ one is two

# flag  what
# --a   it does

# ── Another`,
  );
  assert.deepEqual(lines, ["echo one", "sudo bash", "echo three", "exit"]);
  assert.equal(parts(), 2);
});

test("script() has of a table that is read only its head", () => {
  const { page, text } = script();
  page.table([
    ["name", "number"],
    ["pid", "-"],
  ]);
  assert.deepEqual(text, ["", "# name  number"]);
});

test("cut() shortens long output and long lines, and makes them harmless", () => {
  const lines = Array.from({ length: 20 }, (_, index) => `line ${index}`);
  assert.deepEqual(cut(lines.join("\n"), 80, 12), { lines: lines.slice(0, 12), left: 8 });
  // To leave out one line would take one line.
  assert.deepEqual(cut(lines.slice(0, 13).join("\n"), 80, 12), {
    ...{ lines: lines.slice(0, 13), left: 0 },
  });
  assert.deepEqual(cut("a".repeat(12), 10, 12).lines, [`${"a".repeat(9)}…`]);
  assert.deepEqual(cut("\x1b[2Ja\tb\n\n", 80, 12).lines, ["?[2Ja    b"]);
});
