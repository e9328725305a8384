/**
 * The README is half of the product, so its lines are run, its output is
 * compared, its links are followed. That its blocks are the chapters' lines is
 * tested with each chapter.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import {
  atTerminal,
  cannotRun,
  file,
  leavesNothing,
  missingTools,
  mode,
  run,
  shellcheckExclusions,
  succeeds,
} from "./testing.ts";

const readme = readFileSync(file("README.md"), "utf8");

interface Block {
  /** `sh`, `sh inside`, `console` or `mermaid`. */
  kind: string;
  text: string;
}

function blocksOf(markdown: string): Block[] {
  const fences = markdown.matchAll(/^```(.+)\n([^]*?)^```$/gm);
  return [...fences].map(([, kind = "", text = ""]) => ({ kind, text }));
}

/** The chapters' sections: a title, and the blocks in it. */
const sections = readme
  .split(/^(?=## )/m)
  .filter((section) => /^## \d\d /.test(section))
  .map((section) => ({
    title: section.split("\n", 1)[0]!.slice(3),
    blocks: blocksOf(section),
  }));

/** A line of the README and the output that stands below it, if any. */
interface Step {
  line: string;
  inside: boolean;
  output?: string;
}

function stepsOf(blocks: Block[]): Step[] {
  const steps: Step[] = [];
  for (const { kind, text } of blocks)
    if (kind === "console") steps.at(-1)!.output = text;
    else if (kind !== "mermaid")
      for (const line of text.trimEnd().split("\n"))
        steps.push({ line, inside: kind === "sh inside" });
  return steps;
}

/** What the README tells root to enter where there is no sudo. */
const noSudo = 'command -v sudo >/dev/null || sudo() { "$@"; }';

/**
 * The lines as one script. Above what line N prints stands `@N`; what is typed
 * inside is a here-document of the line before it.
 */
function scriptOf(steps: Step[]): string {
  const script = [noSudo, "exec 2>&1"];
  steps.forEach(({ line, inside }, index) => {
    const before = steps[index - 1]?.inside ?? false;
    const after = steps[index + 1]?.inside ?? false;
    if (before && !inside) script.push("INSIDE");
    const opens = after && !inside ? " <<'INSIDE'" : "";
    script.push(`echo @${index}`, `${line}${opens}`);
    if (opens) script.push("exec 2>&1");
  });
  return [...script, ""].join("\n");
}

/** A fresh bash that has nothing of ours: `env -i`, and no terminal. */
function freshBash(script: string) {
  const bash = 'exec env -i PATH="$PATH:/usr/sbin:/sbin" TMPDIR="$TMPDIR" LANG=C.UTF-8 ';
  const sandbox =
    mode === "rootless"
      ? "unshare --user --map-root-user --mount --pid --fork --kill-child --mount-proc "
      : "";
  // In the sandbox one is root, and has no use for sudo.
  const text = mode === "rootless" ? `sudo() { "$@"; }\n${script}` : script;
  return run(["bash", "-c", `${bash}${sandbox}bash`], { input: text });
}

/** What differs from one machine and one day to the next: numbers, dates, names, white space. */
function rule(text: string): string {
  const { username } = userInfo();
  return text
    .replaceAll(hostname(), "vm")
    .replaceAll(mode === "rootless" ? "root" : username, "root")
    .replace(/\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d+ +[\d:]+/g, "DATE")
    .replace(/\b(0x)?[0-9a-f]{8,}\b|\d+/g, "0")
    .replace(/[ \t]+/g, " ")
    .replace(/^ | $/gm, "");
}

/** The README's output is Debian 12's; and in a sandbox, few processes are in sight. */
const comparable =
  mode !== "rootless" && /^VERSION_ID="12"$/m.test(readFileSync("/etc/os-release", "utf8"));

for (const { title, blocks } of sections)
  describe(`README: ${title}`, () => {
    const steps = stepsOf(blocks);

    test(
      `runs from top to bottom${comparable ? ", prints what it says" : ""}, and leaves nothing`,
      { skip: cannotRun },
      async () => {
        const { status, stdout } = await leavesNothing(() => freshBash(scriptOf(steps)));
        assert.equal(status, 0, stdout);
        const printed = new Map(
          stdout
            .split(/^@(?=\d+$)/m)
            .map((text) => [parseInt(text), text.slice(text.indexOf("\n") + 1)]),
        );
        steps.forEach(({ line, output }, index) => {
          assert.ok(printed.has(index) || line === "exit", line);
          if (!comparable) return;
          let rest = rule(printed.get(index) ?? "").split("\n");
          for (const expected of rule(output ?? "").split("\n")) {
            // `…` stands for lines that are left out, or for the end of a line.
            const start = expected.replace(/…$/, "");
            const found = rest.findIndex((each) => each.startsWith(start));
            assert.notEqual(found, -1, `${line} did not print: ${expected}\n${rest.join("\n")}`);
            if (expected !== "…") rest = rest.slice(found + 1);
          }
        });
      },
    );

    test(
      "can be pasted into a terminal, block by block",
      { skip: cannotRun || (mode === "rootless" && "needs a sudo") },
      async () => {
        const pasted = blocks.filter(({ kind }) => kind.startsWith("sh"));
        const { output } = await leavesNothing(() =>
          atTerminal(
            ["bash", "--norc", "--noprofile", "-i"],
            { env: { PS1: "paste$ ", HISTFILE: "" } },
            async ({ sees, types }) => {
              await sees(/[$#] $/);
              types(`${noSudo}\r`);
              for (const { text } of pasted) {
                await sees(/[$#] $/);
                // Bracketed paste: what a terminal sends for the paste key.
                types(`\x1b[200~${text.trimEnd()}\x1b[201~\r`);
              }
              await sees(/[$#] $/);
              types("exit\r");
            },
          ),
        );
        assert.doesNotMatch(output, /syntax error|command not found/);
      },
    );
  });

describe("README", () => {
  test("has output for every chapter, so that the comparison is one", () => {
    assert.ok(sections.length >= 4);
    for (const { blocks } of sections)
      assert.ok(blocks.filter(({ kind }) => kind === "console").length > 5);
  });

  test(
    "has only lines that shellcheck approves of",
    { skip: missingTools("shellcheck") },
    async () => {
      const blocks = blocksOf(readme).filter(({ kind }) => /^sh/.test(kind));
      // SC1091: /etc/os-release is another on each machine.
      const exclude = `--exclude=${shellcheckExclusions},SC1091`;
      const { status, stdout } = await run(["shellcheck", "--shell=bash", exclude, "-"], {
        input: blocks.map(({ text }) => text.replace(/^exit$/m, "")).join(""),
      });
      assert.equal(status, 0, stdout);
    },
  );

  const tools = process.env.BY_HAND_TOOLS;
  test(
    "has only diagrams that Mermaid can read",
    {
      skip: !tools && "BY_HAND_TOOLS names no directory with mermaid and jsdom",
    },
    async () => {
      const from = createRequire(join(tools!, "package.json"));
      const { JSDOM } = from("jsdom");
      const { window } = new JSDOM();
      Object.assign(globalThis, { window, document: window.document });
      const mermaid = await import(pathToFileURL(from.resolve("mermaid")).href);
      const parses = (text: string) => mermaid.default.parse(text, { suppressErrors: true });
      const diagrams = blocksOf(readme).filter(({ kind }) => kind === "mermaid");
      assert.ok(diagrams.length >= 4);
      for (const { text } of diagrams) assert.ok(await parses(text), text);
      assert.ok(!(await parses("flowchart LR\n  a -->")));
    },
  );

  test("has no link that leads nowhere", () => {
    const headings = [...readme.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-"),
    );
    const links = [...readme.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
    const broken = links.filter((link) =>
      link.startsWith("#")
        ? !headings.includes(link.slice(1))
        : !/^https:/.test(link) && !existsSync(file(link)),
    );
    assert.deepEqual(broken, []);
    assert.ok(links.length > 10);
  });

  test(
    "names man pages that exist",
    { skip: !succeeds("man", "-w", "namespaces") && "no man pages here" },
    () => {
      const pages = new Set(readme.match(/(?<=\[)[\w.]+\(\d\)(?=\])/g));
      assert.ok(pages.size > 5);
      const unknown = [...pages].filter((page) => {
        const [, name = "", section = ""] = /(.*)\((\d)\)/.exec(page)!;
        // Debian has the programs that are root's in section 8.
        return ![section, "8"].some((each) => succeeds("man", "-w", each, name));
      });
      assert.deepEqual(unknown, []);
    },
  );
});
