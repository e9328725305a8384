/**
 * What is asked of every chapter, and of its challenges: told to the end, and printed. (Whether the
 * printed script does the same is asked in more/scripts.test.ts.)
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { readHeader } from "../header.ts";
import {
  cannotRun,
  chapter,
  checkout,
  claimsIn,
  leavesNothing,
  missingTools,
  refused,
  run,
  shellcheckExclusions,
  type stories,
  toldToItsEnd,
  tsx,
  typedLines,
  withoutStarting,
} from "./testing.ts";

/** Tests one of {@link stories}. */
export function testStory({ name, path, source, flags }: (typeof stories)[number]) {
  describe(name, () => {
    let printed: ReturnType<typeof run> | undefined;
    /** The printed script. */
    const print = async () =>
      toldToItsEnd(await (printed ??= run(withoutStarting(tsx(path, "--print", ...flags))))).stdout;

    if (source === path)
      test("names itself in its @run line", () => {
        const run = /^ \* @run (.*)$/m.exec(readFileSync(path, "utf8"));
        assert.equal(run?.[1], `npx tsx ${path.replace(checkout, "")}`);
      });

    const skip = cannotRun;
    test("--yes proves every claim to the end, and leaves nothing", { skip }, async (t) => {
      const told = await leavesNothing(() => run(chapter(path, "--yes", ...flags)));
      // Something that this machine lacks: the chapter has tried it, and says so.
      if (told.status === 2 && readHeader(path).tries.length > 0) return t.skip(refused(told));
      const { stdout } = toldToItsEnd(told);
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
  });
}
