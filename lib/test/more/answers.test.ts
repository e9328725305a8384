/**
 * Answers to the challenges that are right by another way than the solution's, or nearly right: in
 * answers/, by the names of the chapters. (The solutions are told in challenges.test.ts.)
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { test } from "node:test";
import { readChallenges } from "../../options/challenge.ts";
import { readHeader } from "../../header.ts";
import { sandboxFor } from "../../options/rootless.ts";
import {
  challenged,
  file,
  fixture,
  inShort,
  leavesNothing,
  mode,
  refused,
  run,
  slowness,
  tsx,
  whyNot,
} from "../testing.ts";

/** A line of an answer; a list is a line that opens a shell, and what is typed there. */
type Line = string | string[];

export interface Answer {
  name: string;
  lines: Line[];
  /** What the judge shows instead, for the criterion with that number; none, and it is right. */
  missing?: Record<number, RegExp>;
}

/**
 * Tries an answer to a challenge, and compares what the judge says.
 *
 * @returns why it cannot be told here, if so
 */
async function judge(path: string, number: number, { lines, missing = {} }: Answer) {
  const expectations = Object.entries(missing).map(([index, { source }]) => [index, source]);
  const answer = JSON.stringify({ lines, missing: Object.fromEntries(expectations) });
  const patience = String(8000 * slowness);
  const attempt = tsx(fixture("attempt"), path, String(number), patience, answer);
  const inSandbox = () => ["bash", "-c", `exec ${sandboxFor(readHeader(path).tries)} "$@"`, "-"];
  const told = await run(mode === "rootless" ? [...inSandbox(), ...attempt] : attempt);
  if (told.status === 2) return refused(told);
  const json = told.stdout.trimEnd().split("\n").at(-1) ?? "";
  assert.match(json, /^\[/, inShort(told));
  const judged = JSON.parse(json) as (true | string)[];
  assert.ok(judged.length > 0, `There was nothing to judge. ${inShort(told)}`);
  judged.forEach((answer, index) => {
    const expected = missing[index];
    if (expected) assert.match(String(answer), expected, inShort(told));
    else assert.equal(answer, true, inShort(told));
  });
  for (const index of Object.keys(missing)) assert.ok(Number(index) < judged.length);
}

// Before there is a test: one that runs meanwhile would see what this leaves for a moment.
const why = await Promise.all(challenged.map((path) => whyNot(path)));

for (const [at, path] of challenged.entries()) {
  const name = basename(path);
  const data = file(`lib/test/answers/${name}`);
  if (!existsSync(data)) {
    test(`the challenges of ${name}`, { todo: `there is no lib/test/answers/${name}` });
    continue;
  }
  const { answers } = (await import(data)) as { answers: Answer[][] };
  const skip = why[at];
  answers.forEach((list, number) =>
    test(
      `challenge ${number + 1} of ${name} is`,
      { skip, concurrency: availableParallelism() * 2 },
      async (t) => {
        await leavesNothing(() =>
          Promise.all(
            list.map((answer) =>
              t.test(`${answer.missing ? "not " : ""}met by ${answer.name}`, async (t) => {
                const refusal = await judge(path, number, answer);
                if (refusal) t.skip(refusal);
              }),
            ),
          ),
        );
      },
    ),
  );
  test(`${name} has answers to each of its challenges, of both kinds`, async () => {
    assert.equal(answers.length, (await readChallenges(path)).length);
    for (const list of answers)
      for (const kind of [true, false])
        assert.ok(list.some(({ missing }) => (missing === undefined) === kind));
  });
}
