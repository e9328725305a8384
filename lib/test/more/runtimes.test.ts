import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import {
  agree,
  atTerminal,
  cannotRun,
  chapters,
  leavesNothing,
  mode,
  numbered,
  run,
  toldToItsEnd,
  tsx,
  typedLines,
  whyNots,
} from "../testing.ts";

// Before there is a test: while it is awaited, those that there are would run, and end.
const why = await whyNots();

/** Where .ci/run has installed them, as npm does. */
const directory = process.env.BY_HAND_RUNTIMES;

const [, ...withTsx] = tsx();
const runtimes: Record<string, [program: string, ...options: string[]]> = {
  "Node 20 with tsx": ["node20/bin/node", ...withTsx],
  "Node 22 with tsx": ["node22/bin/node", ...withTsx],
  "Node 24": ["node24/bin/node"],
  "the latest Node": ["node/bin/node"],
  Deno: ["deno/deno", "run", "--allow-all"],
  Bun: ["bun/bin/bun"],
};

const flags = mode === "rootless" ? ["--rootless"] : [];

for (const [at, [name, [program, ...options]]] of Object.entries(runtimes).entries()) {
  const path = join(directory ?? "", "node_modules", program);
  const skip =
    cannotRun ||
    (!directory && "BY_HAND_RUNTIMES names no directory of runtimes") ||
    (!existsSync(path) && `${path} is not installed`);

  describe(`on ${name}`, { skip }, () => {
    const command = (chapter: string, ...more: string[]) => [
      ...[path, ...options, chapter, ...flags, ...more],
    ];

    // What differs between runtimes does not differ between chapters: each has its share.
    for (const chapter of chapters.filter((_, place) => place % 6 === at)) {
      const title = basename(chapter);
      test(`${title} is told to its end`, { skip: why.get(chapter) }, async () => {
        const { stdout } = toldToItsEnd(await leavesNothing(() => run(command(chapter, "--yes"))));
        assert.match(stdout, /^Told to the end\. Claims that held: [1-9]/m);
      });

      test(`${title} is printed as on this Node`, async () => {
        const { status, stdout } = await run(command(chapter, "--print"));
        const here = await run(tsx(chapter, "--print"));
        assert.deepEqual([status, stdout], [0, here.stdout]);
      });
    }

    test("a chapter is told at a terminal", async () => {
      const { status, output } = await leavesNothing(() =>
        atTerminal(command(numbered("02")), {}, (reader) => agree(reader)),
      );
      assert.equal(status, 0);
      const { stdout } = await run(command(numbered("02"), "--print"));
      for (const line of typedLines(stdout)) assert.ok(output.split("\n").includes(line), line);
    });

    test("a chapter is told in a user namespace", async () => {
      const { status, stdout } = await leavesNothing(() =>
        run(command(numbered("02"), "--yes", "--rootless")),
      );
      assert.match(stdout, /^Told to the end/m);
      assert.equal(status, 0);
    });
  });
}
