/**
 * Every chapter and its challenges: told to the end, printed, and run as the script that was
 * printed. Whatever is in chapters/ is tested.
 */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { challengeFile } from "../header.ts";
import {
  challenged,
  chapter,
  chapters,
  checkout,
  claimsIn,
  inShort,
  leavesNothing,
  meantToFail,
  missingTools,
  mode,
  notRoot,
  run,
  shellcheckExclusions,
  temporary,
  toldToItsEnd,
  tsx,
  typedLines,
  whyNot,
  withoutStarting,
} from "./testing.ts";

console.log(`Chapters run as: ${mode ?? "nobody, so they are skipped"}.`);

/** What a chapter's lines have printed, a line each, as it is on a screen. */
function outputOn(screen: string, lines: string[]): string[] {
  let below = false;
  return screen.split("\n").flatMap((line) => {
    if (lines.includes(line)) below = true;
    else if (!/^(  |│)/.test(line)) below = false;
    else if (below) return [line.slice(2)];
    return [];
  });
}

/** What is the same whenever a line is run: no numbers, no dates, no names of variables. */
const steady = (output: string[]) =>
  output
    .map((line) => line.trim())
    .filter((line) => line && !/[\d…]|^variables: |^by-hand\./.test(line));

/** What programs have complained about, without what differs between a script and a screen. */
const complaints = (output: string[]) =>
  new Set(
    output
      .map((line) => line.trim().replace(/^\S+: (?=line \d+: )|\bline \d+: |\d+/g, ""))
      .filter((line) => /^[\w./-]+: .*(denied|permitted|not found|cannot|failed|error)/i.test(line))
      // Of a long list of them, the screen has the first ones.
      .map((line) => line.replace(/^\S+: /, "").slice(0, 50)),
  );

const stories = [
  ...chapters.map((path) => ({ path, source: path, flags: [] as string[] })),
  ...challenged.map((path) => ({ path, source: challengeFile(path), flags: ["--challenge"] })),
];

// Before there is a test: one that runs meanwhile would see what this leaves for a moment.
const why = await Promise.all(stories.map(({ path, flags }) => whyNot(path, ...flags)));

for (const [at, { path, source, flags }] of stories.entries()) {
  const skip = why[at];
  describe([path.replace(checkout, ""), ...flags].join(" "), () => {
    let printed: ReturnType<typeof run> | undefined;
    let told: ReturnType<typeof run> | undefined;
    /** The printed script. */
    const print = async () =>
      toldToItsEnd(await (printed ??= run(withoutStarting(tsx(path, "--print", ...flags))))).stdout;
    /** What was told with --yes. */
    const tell = () => (told ??= leavesNothing(() => run(chapter(path, "--yes", ...flags))));

    if (source === path)
      test("names itself in its @run line", () => {
        const run = /^ \* @run (.*)$/m.exec(readFileSync(path, "utf8"));
        assert.equal(run?.[1], `npx tsx ${path.replace(checkout, "")}`);
      });

    test("--yes is told to its end, proves every claim, and leaves nothing", { skip }, async () => {
      const { stdout } = toldToItsEnd(await tell());
      const [claims, script] = [claimsIn(stdout), await print()];
      if (flags.length === 0) {
        assert.deepEqual(claims, claimsIn(script));
        assert.ok(claims.length > 0);
        assert.match(
          stdout,
          new RegExp(`^Told to the end\\. Claims that held: ${claims.length}\\.`, "m"),
        );
      } else {
        const count = (pattern: RegExp) => stdout.match(pattern)?.length;
        assert.equal(count(/^Solved\.$/gm), count(/^Challenge: /gm));
        assert.ok(count(/^Solved\.$/gm));
      }
      const lines = typedLines(script);
      const shown = stdout.split("\n").filter((line) => lines.includes(line));
      // A shell that dies early is not left by the exit that was typed.
      const all = (list: string[]) => list.filter((line) => line !== "exit").join("\n");
      assert.equal(all(shown), all(lines));
    });

    test("--print is what bash can read, and starts no program", async () => {
      const { stderr, status } = await run(["bash", "-n"], { input: await print() });
      assert.deepEqual([stderr, status], ["", 0]);
    });

    test(
      "--print is what shellcheck approves of",
      { skip: missingTools("shellcheck") },
      async () => {
        const command = ["shellcheck", `--exclude=${shellcheckExclusions}`, "-"];
        assert.equal((await run(command, { input: await print() })).stdout, "");
      },
    );

    test(
      "--print is a script that does the same without us",
      { skip: skip || notRoot },
      async () => {
        // As under set -e, but to the end: each line that fails is named.
        const tmp = temporary("a b");
        const script = join(tmp, "..", "script");
        writeFileSync(script, await print());
        const trap = `trap 'echo "$LINENO failed" >&2' ERR; . "$1"`;
        const ran = await leavesNothing(() => run(["bash", "-c", trap, "bash", script], { tmp }));
        rmSync(dirname(script), { recursive: true });
        assert.equal(ran.status, 0, inShort(ran));
        const lines = (await print()).split("\n");
        const failed = [...ran.stderr.matchAll(/^(\d+) failed$/gm)].flatMap(([, number]) =>
          typedLines(lines[Number(number) - 1]!),
        );
        const expected = meantToFail(source);
        const asMeant = failed.map((line) => expected.some((each) => each.test(line)) || line);
        assert.deepEqual(asMeant, Array(expected.length).fill(true), inShort(ran));

        const output = `${ran.stdout}\n${ran.stderr}`.split("\n");
        const shown = outputOn((await tell()).stdout, typedLines(await print()));
        assert.deepEqual(complaints(output), complaints(shown));
        // Above the work directory is the chapter's own, with its state.
        const words = new Set(["state", ...output.map((line) => line.trim())]);
        assert.deepEqual(
          steady(shown).filter((line) => !words.has(line) && !/: /.test(line)),
          [],
        );
      },
    );
  });
}
