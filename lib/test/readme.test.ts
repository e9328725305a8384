/**
 * The README is half of the product: its sections are what the chapters tell and print, its lines can
 * be pasted, its links lead somewhere. And these tests would notice if that were not so.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
  blocksOf,
  chapters,
  comparable,
  contents,
  cutAs,
  notComparable,
  readSections,
  sectionOf,
  skeleton,
  steady,
  type Block,
} from "../dev/readme.ts";
import {
  atTerminal,
  cannotRun,
  chapter,
  file,
  leavesNothing,
  missingTools,
  notRoot,
  run,
  shellcheckExclusions,
  succeeds,
  toldToItsEnd,
  whyNots,
} from "./testing.ts";

const readme = readFileSync(file("README.md"), "utf8");
const sections = readSections();

/** A chapter's section, as it is told without running anything, or with real output that is not cut. */
async function tell(name: string, ...flags: string[]): Promise<string> {
  const path = chapters.get(name)!;
  return sectionOf(name, toldToItsEnd(await run(chapter(path, "--markdown", ...flags))).stdout);
}

const saysTheSame = (section: string, told: string) =>
  assert.deepEqual(skeleton(section, told), skeleton(told, told));

const printsTheSame = (section: string, told: string) =>
  assert.deepEqual(comparable(blocksOf(section)), comparable(cutAs(section, told)));

const why = await whyNots();
for (const [name, path] of chapters) {
  const notTold = why.get(path) ?? false;
  describe(`README: ${name}`, () => {
    const section = sections.get(name) ?? "";

    test("says what the chapter says, or run: npm run readme", async () => {
      const told = await tell(name, "--print");
      saysTheSame(section, told);
      const said = new Set(told.split("\n"));
      const missed = unnoticed(section, (mutant) => saysTheSame(mutant, told));
      // Others are output.
      assert.deepEqual(
        missed.filter(([line]) => said.has(line.replace(/\\$/, ""))),
        [],
      );
    });

    const skip = notTold || notComparable();
    test("has what its lines print, or run: npm run readme", { skip }, async () => {
      const told = await leavesNothing(() => tell(name));
      printsTheSame(section, told);
      const missed = unnoticed(section, (mutant) => printsTheSame(mutant, told));
      assert.deepEqual(
        missed.filter(([line, mutant]) => !mayDiffer(line, mutant, section)),
        [],
      );
    });

    test("can be pasted into a terminal", { skip: notTold || notRoot }, async () => {
      const complaints = await leavesNothing(() => paste(blocksOf(section)));
      assert.deepEqual(complaints, []);
    });
  });
}

// ── Would it be noticed?

/**
 * Tells the changes to a text that a comparison does not notice.
 *
 * @param compare throws if it notices
 * @returns the line, and what became of it
 */
function unnoticed(text: string, compare: (mutant: string) => void): [string, string][] {
  const lines = text.split("\n");
  const notices = (at: number, ...others: string[]) => {
    try {
      compare(lines.toSpliced(at, 1, ...others).join("\n"));
      return false;
    } catch {
      return true;
    }
  };
  return lines.flatMap((line, at) => {
    if (/^>? *$/.test(line)) return [];
    const missed = mutantsOf(line).filter((mutant) => !notices(at, mutant));
    if (!notices(at)) missed.push("(gone)");
    return missed.map((mutant): [string, string] => [line, mutant]);
  });
}

/** A line with another last word, and with another last number. */
function mutantsOf(line: string): string[] {
  const word = line.replace(/[A-Za-z](?=[^A-Za-z]*$)/, "ø");
  const number = line.replace(/\d(?=\D*$)/, (digit) => `${(Number(digit) + 1) % 10}`);
  return [word, number].filter((mutant) => mutant !== line);
}

/** Whether two lines of output differ in what may be another in the next run. */
function mayDiffer(line: string, other: string, text: string): boolean {
  if (steady(line) === steady(other)) return true;
  // A number that stands nowhere else, such as a pid, or a checksum.
  const [number = ""] = line.match(/([0-9a-f]{20,}|\d{3,})(?=\D*$)/) ?? [];
  const once = text.match(RegExp(`\\b${number}\\b`, "g"))?.length === 1;
  return (
    number !== "" && once && line.replace(/\d+(?=\D*$)/, "") === other.replace(/\d+(?=\D*$)/, "")
  );
}

// ── Pasting

const complaint =
  /denied|not permitted|no such|not found|syntax error|cannot|can't|failed|\berror[: ]|refused|invalid|usage:|^Try '/i;

/** In a list of processes: what anybody runs. */
const listed = /^ *\d+ .* \d+:\d\d \S/;

/** The prompt of the first shell, of one in another root, and of one in this one, at the screen's end. */
const prompt = /^(paste\$|bash-[\d.]+[$#]|\S+@\S+[$#]) (?![^])/m;

/**
 * Pastes lines of shell, block by block.
 *
 * @returns what they complain about, unless that stands below them as their output
 */
async function paste(blocks: Block[]): Promise<string[]> {
  const complaints: string[] = [];
  let meant: string[] = [];
  const env = { PS1: "paste$ ", HISTFILE: "" };
  await atTerminal(["bash", "--norc", "--noprofile", "-i"], { env }, async ({ sees, types }) => {
    await sees(prompt);
    types('command -v sudo >/dev/null || sudo() { "$@"; }\r');
    await sees(prompt);
    for (const [at, { kind, inside, lines }] of blocks.entries()) {
      if (kind !== "sh") continue;
      if (!inside) meant = complaintsBelow(blocks, at);
      // Bracketed paste: what a terminal sends for the paste key.
      types(`\x1b[200~${lines.join("\n")}\x1b[201~\r`);
      const printed = await sees(new RegExp(`[^]*?${prompt.source}`, "m"));
      for (const line of printed.split(/\n\r?/))
        if (
          complaint.test(line) &&
          !listed.test(line) &&
          !meant.some((words) => line.includes(words))
        )
          complaints.push(`${lines.join("; ")}: ${line}`);
    }
    types("exit\r");
  });
  return complaints;
}

/** What a line and those typed in its shell complain about: the first words, without who says it. */
function complaintsBelow(blocks: Block[], at: number): string[] {
  const after = blocks.slice(at + 1);
  const next = after.findIndex(({ kind, inside }) => kind === "sh" && !inside);
  return after
    .slice(0, next < 0 ? undefined : next)
    .filter(({ kind }) => kind === "console")
    .flatMap(({ lines }) => lines.filter((line) => complaint.test(line)))
    .map((line) => line.replace(/^[\w-]+: /, "").slice(0, 20));
}

describe("README: a test that pastes", () => {
  const block = (kind: Block["kind"], line: string) => ({ kind, inside: false, lines: [line] });

  test("notices what a line complains about", { skip: cannotRun || notRoot }, async () => {
    const failing = [
      "no-such-command",
      "cat /no/such/file",
      "mkdir /proc/mine",
      "echo )",
      "ls --none",
    ];
    const complaints = await paste(
      ["echo all is well", ...failing].map((line) => block("sh", line)),
    );
    for (const line of failing)
      assert.ok(
        complaints.some((each) => each.startsWith(line)),
        line,
      );
    assert.ok(!complaints.some((each) => each.startsWith("echo all")));
  });

  test(
    "takes the complaints that stand in the README",
    { skip: cannotRun || notRoot },
    async () => {
      const output = "cat: /no/such/file: No such file or directory";
      const blocks = [block("sh", "cat /no/such/file"), block("console", output)];
      assert.deepEqual(await paste(blocks), []);
      assert.equal((await paste([...blocks, block("sh", "cat /no/such/file")])).length, 1);
    },
  );
});

// ── All of it

describe("README", () => {
  test("has the chapters that there are, and their table of contents", () => {
    assert.deepEqual([...sections.keys()], [...chapters.keys()]);
    const [, table = ""] = /^<!-- contents -->\n([^]*?)^<!-- \/contents -->$/m.exec(readme) ?? [];
    assert.deepEqual(comparable(blocksOf(table)), comparable(blocksOf(contents())));
  });

  const skip = missingTools("shellcheck");
  test("has only lines that shellcheck approves of", { skip }, async () => {
    const lines = blocksOf(readme)
      .filter(({ kind }) => kind === "sh")
      .flatMap(({ lines }) => lines.filter((line) => line !== "exit"));
    assert.ok(lines.length > 50);
    // SC1091: /etc/os-release is another on each machine.
    const exclude = `--exclude=${shellcheckExclusions},SC1091`;
    const input = lines.join("\n");
    const { status, stdout } = await run(["shellcheck", "--shell=bash", exclude, "-"], { input });
    assert.equal(status, 0, stdout);
  });

  for (const path of ["README.md", "lib/README.md"])
    test(`has no link in ${path} that leads nowhere`, () => {
      const text = readFileSync(file(path), "utf8");
      const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
        heading
          .toLowerCase()
          .replace(/[^\p{L}\p{N}\s_-]/gu, "")
          .replaceAll(" ", "-"),
      );
      const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
      const directory = path.replace(/[^/]*$/, "");
      const broken = links.filter((link) =>
        link.startsWith("#")
          ? !headings.includes(link.slice(1))
          : !/^https:/.test(link) && !existsSync(file(directory + link)),
      );
      assert.deepEqual(broken, []);
      assert.ok(links.length > 1);
    });

  const noManual = !succeeds("man", "-w", "namespaces") && "no man pages here";
  test("names man pages that exist", { skip: noManual }, () => {
    const pages = new Set(readme.match(/(?<=\[)[\w.]+\(\d\)(?=\])/g));
    assert.ok(pages.size > 5);
    const unknown = [...pages].filter((page) => {
      const [, name = "", section = ""] = /(.*)\((\d)\)/.exec(page)!;
      // Debian has the programs that are root's in section 8.
      return ![section, "8"].some((each) => succeeds("man", "-w", each, name));
    });
    assert.deepEqual(unknown, []);
  });

  test("explains only what the library says", () => {
    const library = ["lib", "lib/options", "lib/tries"].flatMap((directory) =>
      readdirSync(file(directory))
        .filter((name) => name.endsWith(".ts"))
        .map((name) => readFileSync(file(`${directory}/${name}`), "utf8")),
    );
    const [, list = ""] = readme.split(/^## (?:When it says no|Nothing is left behind)$/m);
    // What it says stands before a colon.
    const heads = [...list.matchAll(/^- ([^]*?):\s/gm)].map(([, head = ""]) => head);
    const said = heads
      .flatMap((head) => [...head.matchAll(/`(.*?)`/gs)])
      .flatMap(([, words = ""]) => words.replace(/\s+/g, " ").split("…"))
      .map((words) => words.trim());
    const unknown = said.filter((words) => !library.some((text) => text.includes(words)));
    assert.deepEqual(unknown, []);
    assert.ok(said.length > 20);
  });
});
