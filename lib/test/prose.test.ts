import assert from "node:assert/strict";
import { test } from "node:test";
import { $ as colours } from "kleur/colors";
import { forMarkdown, forScreen, forScript } from "../prose.ts";

const man = "https://man7.org/linux/man-pages";

for (const [prose, markdown] of [
  ["'ls -l' lists", "`ls -l` lists"],
  ["the shell's own, the shells' too, it's", "the shell's own, the shells' too, it's"],
  ["**bold with 'code'** in it", "**bold with `code`** in it"],
  ["flags (--fork, -a), --mount-proc.", "flags (`--fork`, `-a`), `--mount-proc`."],
  ["a dash - or two -- are none", "a dash - or two -- are none"],
  ["a well-known, read-only thing", "a well-known, read-only thing"],
  ["/ is /proc/self/ns, not and/or", "`/` is `/proc/self/ns`, not and/or"],
  ["as proc(5) says", `as [proc(5)](${man}/man5/proc.5.html) says`],
  ["ld.so(8), exec(3)", `[ld.so(8)](${man}/man8/ld.so.8.html), [exec(3)](${man}/man3/exec.3.html)`],
  ["'docker run -v /a:/b' once", "`docker run -v /a:/b` once"],
  ["end of a path: /proc/PID/ns.", "end of a path: `/proc/PID/ns`."],
] as const)
  test(`forMarkdown() marks what is code when it is ${prose}`, () =>
    assert.equal(forMarkdown(prose), markdown));

test("forScript() leaves words as they are, but for stars", () => {
  const prose = "**A 'b'** of --c in /d, see e(1)";
  assert.equal(forScript(prose), "A 'b' of --c in /d, see e(1)");
});

test("forScreen() has quotes where there are no colours, and colours where there are", (t) => {
  const before = colours.enabled;
  t.after(() => (colours.enabled = before));
  colours.enabled = false;
  assert.equal(forScreen("'ls' of **all** --flags"), "'ls' of all --flags");
  colours.enabled = true;
  assert.equal(
    forScreen("'ls' of **all** --flags"),
    "\x1b[36mls\x1b[39m of \x1b[1mall\x1b[22m \x1b[36m--flags\x1b[39m",
  );
});
