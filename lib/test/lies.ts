/**
 * Tools that do not do what they are told, so that a claim does not hold.
 */
import assert from "node:assert/strict";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { findProgram } from "../shell.ts";
import {
  chapter,
  claimsIn,
  inShort,
  leavesNothing,
  missingTools,
  mode,
  numbered,
  run,
  temporary,
  toldToItsEnd,
  whyNot,
} from "./testing.ts";

/**
 * For each claim of a chapter, in their order: a tool, and lines of bash that it is there, in which
 * $REAL is its file. After them it does as it is told.
 */
export type Lies = Record<string, [tool: string, lie: string]>;

/** Tests that where a tool lies its claim does not hold, and that those before it do. */
export async function testLies(number: string, lies: Lies, ...flags: string[]) {
  const path = numbered(number);
  const skip =
    (await whyNot(path)) ||
    (mode !== "root" && "needs root, whose PATH is obeyed") ||
    (flags.includes("busybox") && missingTools("busybox"));

  test(`a claim of chapter ${number} does not hold where`, { skip, concurrency: 2 }, (t) =>
    leavesNothing(async () => {
      const tests = Object.entries(lies).map(([claim, [tool, lie]], at) =>
        t.test(`${tool} is another: ${claim}`, async () => {
          const bin = temporary("bin");
          chmodSync(bin, 0o755);
          const script = `#!/bin/bash\nREAL=${findProgram(tool)}\n${lie}\nexec $REAL "$@"\n`;
          writeFileSync(join(bin, tool), script, { mode: 0o755 });
          const env = { PATH: `${bin}:${process.env.PATH}` };
          const told = await run(chapter(number, "--yes", ...flags), { env });
          rmSync(dirname(bin), { recursive: true });
          assert.equal(told.status, 1, inShort(told));
          assert.match(told.stderr, new RegExp(`^This claim does not hold: ${claim}$`, "m"));
          assert.equal(claimsIn(told.stdout).length, at, inShort(told));
        }),
      );
      await Promise.all(tests);
    }),
  );

  test(`chapter ${number} has these claims, and no others`, async () => {
    const { stdout } = toldToItsEnd(await run(chapter(number, "--print")));
    assert.deepEqual(claimsIn(stdout), Object.keys(lies));
  });
}
