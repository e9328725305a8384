/**
 * The script that --print writes, of every chapter and its challenges, does what the chapter does.
 */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import {
  chapter,
  inShort,
  leavesNothing,
  meantToFail,
  notRoot,
  run,
  stories,
  temporary,
  toldToItsEnd,
  tsx,
  typedLines,
  whyNot,
} from "../testing.ts";

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
      .map((line) =>
        line.trim().replace(/^\S+: (?=line \d+: )|\bline \d+: |(?<=by-hand\.)\w+|\d+/g, ""),
      )
      .filter((line) => /^[\w./-]+: .*(denied|permitted|not found|cannot|failed|error)/i.test(line))
      // Of a long list of them, the screen has the first ones.
      .map((line) => line.replace(/^\S+: /, "").slice(0, 50)),
  );

// Before there is a test: one that runs meanwhile would see what this leaves for a moment.
const why = await Promise.all(stories.map(({ path, flags }) => whyNot(path, ...flags)));

for (const [at, { name, path, source, flags }] of stories.entries())
  test(
    `${name} --print is a script that does the same without us`,
    { skip: why[at] || notRoot },
    async () => {
      const printed = toldToItsEnd(await run(tsx(path, "--print", ...flags))).stdout;
      // As under set -e, but to the end: each line that fails is named.
      const tmp = temporary("a b");
      const script = join(tmp, "..", "script");
      writeFileSync(script, printed);
      const trap = `trap 'echo "$LINENO failed" >&2' ERR; . "$1"`;
      const ran = await leavesNothing(() => run(["bash", "-c", trap, "bash", script], { tmp }));
      rmSync(dirname(script), { recursive: true });
      assert.equal(ran.status, 0, inShort(ran));
      const lines = printed.split("\n");
      const failed = [...ran.stderr.matchAll(/^(\d+) failed$/gm)].flatMap(([, number]) =>
        typedLines(lines[Number(number) - 1]!),
      );
      const expected = meantToFail(source);
      const asMeant = failed.map((line) => expected.some((each) => each.test(line)) || line);
      assert.deepEqual(asMeant, Array(expected.length).fill(true), inShort(ran));

      const output = `${ran.stdout}\n${ran.stderr}`.split("\n");
      const told = await leavesNothing(() => run(chapter(path, "--yes", ...flags)));
      const shown = outputOn(toldToItsEnd(told).stdout, typedLines(printed));
      assert.deepEqual(complaints(output), complaints(shown));
      // Above the work directory is the chapter's own, with its state.
      const words = new Set(["state", ...output.map((line) => line.trim())]);
      assert.deepEqual(
        steady(shown).filter((line) => !words.has(line) && !/: /.test(line)),
        [],
      );
    },
  );
