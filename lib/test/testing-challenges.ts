/**
 * What the tests of the challenges share: every solution is run from its lines,
 * and answers that are right or nearly so are judged.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { sandbox } from "../preflight.ts";
import {
  cannotRun,
  chapter,
  file,
  leavesNothing,
  missingTools,
  mode,
  notRoot,
  run,
  shellcheckExclusions,
  tsx,
} from "./testing.ts";

/** A line of an answer; a list is a line that opens a shell, and what is typed there. */
type Line = string | string[];

export interface Answer {
  name: string;
  lines: Line[];
  /** What the judge shows instead, for the criterion with that number; none, and it is right. */
  missing?: Record<number, RegExp>;
}

/** Tries an answer to a challenge; returns the judge's answers. */
async function attempt(
  path: string,
  number: number,
  lines: Line[],
  patience: number,
): Promise<(true | string)[]> {
  const fixture = tsx(
    ...[file("lib/test/fixtures/attempt.ts"), pathToFileURL(file(path)).href],
    ...[String(number), String(patience), JSON.stringify(lines)],
  );
  const command = mode === "rootless" ? [...sandbox.split(" "), ...fixture] : fixture;
  const { stdout, stderr } = await run(command);
  const json = stdout.trimEnd().split("\n").at(-1) ?? "";
  assert.match(json, /^\[/, stdout + stderr);
  return JSON.parse(json) as (true | string)[];
}

/** Registers the tests that the challenges of every chapter have. */
export function testSolutions(path: string) {
  describe(`${path} --challenge`, () => {
    const print = async () => {
      const { status, stdout } = await run(chapter(path, "--challenge", "--print"));
      assert.equal(status, 0);
      return stdout;
    };

    test("--yes solves them with their own lines", { skip: cannotRun }, async () => {
      const { status, stdout, stderr } = await leavesNothing(() =>
        run(chapter(path, "--challenge", "--yes")),
      );
      assert.equal(stderr, "");
      assert.equal(status, 0, stdout);
      const challenges = stdout.match(/^Challenge: /gm)?.length;
      assert.ok(challenges);
      assert.equal(stdout.match(/^Solved\.$/gm)?.length, challenges);
    });

    test(
      "--print is what shellcheck approves of",
      { skip: missingTools("shellcheck") },
      async () => {
        const { stdout } = await run(["shellcheck", `--exclude=${shellcheckExclusions}`, "-"], {
          input: await print(),
        });
        assert.equal(stdout, "");
      },
    );

    test(
      "--print is a script that needs nothing else",
      { skip: cannotRun || notRoot },
      async () => {
        const { status, stdout, stderr } = await leavesNothing(async () =>
          run(["bash"], { input: await print() }),
        );
        assert.equal(status, 0, stdout + stderr);
      },
    );
  });
}

/**
 * Registers a test for each of some answers to a challenge.
 *
 * @param number which of the chapter's challenges, from 0
 */
export function testAnswers(path: string, number: number, answers: Answer[]) {
  const judge = async ({ lines, missing }: Answer) => {
    const judged = await attempt(...([path, number, lines, missing ? 1500 : 8000] as const));
    assert.ok(judged.length > 0, "There was nothing to judge.");
    judged.forEach((answer, index) => {
      const expected = missing?.[index];
      if (expected) assert.match(String(answer), expected);
      else assert.equal(answer, true);
    });
    for (const index of Object.keys(missing ?? {})) assert.ok(Number(index) < judged.length);
  };
  test(`${path}, challenge ${number + 1}`, { skip: cannotRun, concurrency: 4 }, async (t) => {
    await leavesNothing(() =>
      Promise.all(
        answers.map((answer) =>
          t.test(`is ${answer.missing ? "not " : ""}met by ${answer.name}`, () => judge(answer)),
        ),
      ),
    );
  });
}
