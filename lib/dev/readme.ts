/**
 * Writes the chapters into the README: what they tell, what their lines print here, and the table of
 * contents. A section that differs in numbers and dates only stays as it is.
 *
 * @run npm run readme (as root, on Debian 12), or for some chapters alone: npm run readme 05 06
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename } from "node:path";
import { text as wholeOf } from "node:stream/consumers";
import { fileURLToPath, pathToFileURL } from "node:url";
import { format as prettier } from "prettier";
import { challengeFile, chaptersIn, readHeader } from "../header.ts";
import { fileSystemOf, runtime, stat } from "../kernel.ts";
import { readChallenges } from "../options/challenge.ts";
import { forMarkdown } from "../prose.ts";

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const readme = file("README.md");

/** The chapters, as paths, by their names. */
export const chapters = new Map(
  chaptersIn(file("chapters")).map((path) => [basename(path, ".ts"), path]),
);

/** Why what the lines print here cannot be compared with the README, or false if it can. */
export function notComparable(): string | false {
  const debian12 = /^VERSION_ID="12"$/m.test(readFileSync("/etc/os-release", "utf8"));
  if (process.getuid?.() !== 0 || !debian12) return "needs root on Debian 12";
  if (stat(2)?.name !== "kthreadd") return "needs a machine of its own, and this is a container";
  return fileSystemOf(tmpdir()).type !== "ext4" && "needs a temp directory on ext4";
}

// ── Sections

/** A chapter's section, in marks that have its name. */
const marked = /^<!-- (\d\d-[\w-]+) -->\n([^]*?)^<!-- \/\1 -->$/gm;

/** The sections that are in the README, by their chapters' names. */
export function readSections(): Map<string, string> {
  const found = readFileSync(readme, "utf8").matchAll(marked);
  return new Map([...found].map(([, name = "", text = ""]) => [name, text.trim()]));
}

/**
 * The chapters that are told in a kernel of its own, with the flags of run-in-vm: in 6 all cgroups
 * must be of version 2, and in 8 the reader must not be root.
 */
export const inVm = new Map([
  ["06-cgroup", []],
  ["08-user", ["--sudo"]],
]);

/** The command that prints a chapter as Markdown. In a VM its output is a terminal, unless it is piped. */
export function command(name: string): string[] {
  const told = [...runtime(), chapters.get(name)!, "--markdown"];
  const flags = inVm.get(name);
  if (!flags) return told;
  const piped = ["bash", "-o", "pipefail", "-c", '"$@" | cat', "-"];
  return [file(".ci/run-in-vm"), ...flags, ...piped, ...told];
}

/** What a chapter prints as Markdown. */
async function run(name: string): Promise<string> {
  const [program = "", ...args] = command(name);
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "inherit"],
    // Away from our terminal, whose name `ps` would print.
    detached: true,
  });
  const [text, [status]] = await Promise.all([wholeOf(child.stdout), once(child, "close")]);
  if (status !== 0) throw new Error(`${name} ended with ${status}.`);
  return text;
}

/** @param told what the chapter of that name printed as Markdown */
export async function sectionOf(name: string, told: string): Promise<string> {
  const path = chapters.get(name)!;
  const challenges = existsSync(challengeFile(path)) ? await readChallenges(path) : [];
  const titles = challenges.map(({ title }) => `- ${forMarkdown(title)}`);
  const run = `npx tsx chapters/${name}.ts --challenge`;
  const further = `**Further challenges**, with the kernel as the judge: \`${run}\``;
  return formatted([told, ...(titles.length > 0 ? [further, titles.join("\n")] : [])].join("\n\n"));
}

const formatted = async (markdown: string) =>
  (await prettier(markdown, { parser: "markdown", proseWrap: "always", printWidth: 88 })).trim();

/** What is printed is cut to the first `kept` lines if it has more than `most`. */
const [most, kept] = [13, 3];

/** A section whose long output is cut, which a line `…` shows. */
function shortened(section: string): string {
  return section.replace(/^(>? ?)```console\n[^]*?^\1```$/gm, (block, quoted: string) => {
    const lines = block.split("\n");
    if (lines.length - 2 <= most) return block;
    return [...lines.slice(0, 1 + kept), `${quoted}…`, lines.at(-1)].join("\n");
  });
}

// ── Is it the same?

export interface Block {
  /** `sh`, `console` and `text` are blocks of code. */
  kind: "sh" | "console" | "text" | "table" | "prose";
  /** Whether it belongs to a shell that a line has opened. */
  inside: boolean;
  lines: string[];
}

/** The blocks of a section. */
export function blocksOf(section: string): Block[] {
  // Every second piece is a quotation.
  return section.split(/^((?:>.*\n?)+)/m).flatMap((piece, index) => {
    const inside = index % 2 === 1;
    const text = inside ? piece.replace(/^> ?/gm, "") : piece;
    return [...text.matchAll(/^```(\w+)\n([^]*?)^```$|(?:^.+\n?)+/gm)].map(
      ([prose, code, lines = prose]) => ({
        kind: (code ?? (prose.startsWith("|") ? "table" : "prose")) as Block["kind"],
        inside,
        lines: lines.trimEnd().split("\n"),
      }),
    );
  });
}

/** A block as what it says, however wide it is: a text for each line, each row, or all of the prose. */
function textsOf({ kind, inside, lines }: Block): string[] {
  const sigil = inside ? "> " : "";
  if (kind === "prose") return [sigil + lines.join(" ")];
  if (kind !== "table") return lines.map((line) => sigil + line);
  return lines.map((row) => row.replace(/-+/g, "-").replace(/ +/g, " "));
}

/**
 * What a section says whether or not its lines were run: prose, lines and claims.
 *
 * @param told the same as told without running anything: a row of a table counts if it is there
 */
export function skeleton(section: string, told: string): string[] {
  const rows = new Set(
    blocksOf(told)
      .filter(({ kind }) => kind === "table")
      .flatMap(textsOf)
      // A dash is a cell that is not known.
      .filter((row) => !/\w.*\| - \||\| - \|.*\w/.test(row)),
  );
  return blocksOf(section)
    .filter(({ kind }) => kind !== "console")
    .flatMap((block) => {
      const texts = textsOf(block);
      if (block.kind === "table") return texts.filter((row) => rows.has(row));
      // What proves a claim stands on a line of its own, below it.
      return texts
        .map((text) => text.replace(/^(✔ \*\*.*?\*\*)\\ .*/, "$1"))
        .filter((text) => !text.startsWith("(When this was recorded"));
    });
}

/** What differs from one run to the next. */
const varying: [RegExp, string][] = [
  // Of mountinfo: a long line, which is cut where the numbers in it end; then the numbers of mounts,
  // of file systems without a disk, and of mounts that are shared.
  [/^((?:> )?)\d+ \d+ \d+:\d+ (?:\S*by-hand.*|(.{25}).*…)$/gm, "$1MOUNT $2"],
  [/^((?:> )?)\d+ \d+ \d+:\d+ /gm, "$1MOUNT "],
  [/\b(master|shared):\d+/g, "$1"],
  // Of stat: such a file system and an inode.
  [/\b\d+:\d{3,}\b/g, "FILE"],
  [/\b[A-Z][a-z]{2} +\d+ +[\d:]+/g, "DATE"],
  [/\b\d{1,2}:\d\d(:\d\d)?\b/g, "TIME"],
  [/\b0x[0-9a-f]{8,}\b/g, "ADDRESS"],
  [/\bby-hand\.(\d+\.){3}\w{6}\b/g, "by-hand"],
  [/\bby-hand\.\w{6}\b/g, "by-hand"],
  // Of ps: a process's state, or how much of a processor it has used.
  [/\? +[A-Z][\w<+]* +TIME/g, "? TIME"],
  [/ \d+ +TIME +\?/g, " TIME ?"],
  // Of cpu.stat: in how many periods a group had to wait, unless in none.
  [/\bnr_throttled [1-9]\d*/g, "nr_throttled COUNT"],
  // A container's name.
  [/\b(?=[a-f]*\d)[0-9a-f]{12}\b/g, "CONTAINER"],
  // Of ls: blocks in use, and links to a file.
  [/\btotal \d+/g, "total"],
  [/([-bcdl][-rwxstST]{9}) +\d+/g, "$1"],
  // Of a process's environment: the names of its variables, as far as they fit.
  [/\b([A-Z_]+ ){4,}[A-Z_]*…?/g, "VARIABLES"],
  // Of the table: what whoever started it had open.
  [/\b0 1 2( \d+)*, a session/g, "FILES"],
  [/ +/g, " "],
];

/** A text without what varies. */
export const steady = (text: string) =>
  varying.reduce((left, [pattern, name]) => left.replace(pattern, name), text);

/**
 * Such a text without the numbers of three digits and more, and without checksums. One may be another,
 * but the same wherever it stands: it becomes its place among those seen so far.
 */
function counted(text: string, seen: string[] = []): string {
  return steady(text).replace(/\b([0-9a-f]{20,}|\d{3,})\b/g, (number) => {
    if (!seen.includes(number)) seen.push(number);
    return `#${seen.indexOf(number)}`;
  });
}

/** What a section says, without what varies. What the reader types does not. */
export function comparable(blocks: Block[]): string[] {
  const seen: string[] = [];
  return blocks.flatMap((block) =>
    textsOf(block).flatMap((text) =>
      (block.kind === "sh" ? steady(text) : counted(text, seen)).split("\n"),
    ),
  );
}

/**
 * The blocks of a run as a section has them. What the section has cut is cut to the same lines, if
 * they are all there: which ones come first is the machine's.
 *
 * @param told what the chapter has printed, uncut
 */
export function cutAs(section: string, told: string): Block[] {
  const written = blocksOf(section).filter(({ kind }) => kind === "console");
  return blocksOf(told).map((block) => {
    if (block.kind !== "console") return block;
    const { lines = [] } = written.shift() ?? {};
    const found = lines
      .slice(0, kept)
      .map((line) => block.lines.find((each) => counted(each) === counted(line)));
    const isCut = lines[kept] === "…" && lines.length === kept + 1;
    return isCut && !found.includes(undefined)
      ? { ...block, lines: [...(found as string[]), "…"] }
      : block;
  });
}

// ── Writing it

/** The chapters' sections, each in its marks, as they will be in the README. */
async function write(): Promise<string> {
  const sections = readSections();
  const written: string[] = [];
  const wanted = process.argv.slice(2);
  for (const name of chapters.keys()) {
    const isWanted = wanted.length === 0 || wanted.some((each) => name.startsWith(each));
    if (!isWanted && sections.has(name)) {
      written.push(`<!-- ${name} -->\n\n${sections.get(name)}\n\n<!-- /${name} -->`);
      continue;
    }
    const told = await sectionOf(name, await run(name));
    const old = sections.get(name);
    const same =
      old !== undefined &&
      comparable(blocksOf(old)).join("\n") === comparable(cutAs(old, told)).join("\n");
    console.log(`${name}: ${same ? "as it was" : "written"}`);
    written.push(`<!-- ${name} -->\n\n${same ? old : shortened(told)}\n\n<!-- /${name} -->`);
  }
  return written.join("\n\n");
}

/** The table of contents: a chapter's title, and what one knows it from. */
export function contents(): string {
  const rows = [...chapters.values()].map((path) => {
    const { title, known } = readHeader(path);
    // As GitHub names a heading.
    const anchor = title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
    return `| [${title}](#${anchor}) | ${forMarkdown(known)} |`;
  });
  return ["| chapter | you know this |", "| --- | --- |", ...rows].join("\n");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const why = notComparable();
  if (why) console.log(`The output in the README is that of another machine: this one ${why}.`);
  const sections = await write();
  const text = readFileSync(readme, "utf8")
    .replace(/^<!-- \d\d-[\w-]+ -->$[^]*^<!-- \/\d\d-[\w-]+ -->$/m, () => sections)
    .replace(
      /(?<=^<!-- contents -->$)[^]*(?=^<!-- \/contents -->$)/m,
      () => `\n\n${contents()}\n\n`,
    );
  writeFileSync(readme, `${await formatted(text)}\n`);
}
