import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { readHeader } from "../../header.ts";
import {
  atTerminal,
  cannotRun,
  chapters,
  file,
  keys,
  leavesNothing,
  mode,
  numbered,
  run,
  temporary,
  tsx,
} from "../testing.ts";

const rootless = mode === "rootless" ? ["--rootless"] : [];
const contents = (...flags: string[]) => tsx(file("lib/contents.ts"), ...rootless, ...flags);

describe("npm start", () => {
  test("lists the chapters when there is no terminal", async () => {
    const { status, stdout, stderr } = await run(contents());
    assert.equal(stderr, "");
    assert.equal(status, 0);
    for (const { title, run } of chapters.map(readHeader))
      assert.ok(stdout.includes(`${title}\n    ${run}\n`), title);
  });

  test("--help says what it does, and lists the chapters", async () => {
    const { status, stdout } = await run(contents("--help"));
    assert.equal(status, 0);
    assert.match(stdout, /^npm start /);
    assert.match(stdout, /^02 · unshare: /m);
  });

  test(
    "walks the chapter that was picked, and has the next one under the cursor",
    { skip: cannotRun },
    async () => {
      const { status, output } = await leavesNothing(() =>
        atTerminal(contents("--yes"), {}, async ({ sees, types }) => {
          await sees(/● +01 .*\n[^]*Leave\n/);
          types(keys.down + keys.enter);
          await sees(/^Told to the end/m);
          await sees(/● +03 .*\n[^]*Leave\n/);
          types(keys.ctrlC);
        }),
      );
      assert.equal(status, 0);
      assert.ok(output.includes(`\n${readHeader(numbered("02")).title}\n\n`));
    },
  );

  test("shows which chapter was told, and how it stood", { skip: cannotRun }, async () => {
    const directory = temporary();
    const note = join(directory, "told.json");
    writeFileSync(note, "");
    const env = { BY_HAND_TOLD: note };
    await leavesNothing(() =>
      atTerminal(contents(), { env }, async (reader) => {
        await reader.sees(/Leave\n/);
        reader.types(keys.enter);
        while ((await reader.sees(/(Stop here|Not now)\n/)).startsWith("Stop"))
          reader.types(keys.enter);
        reader.types(keys.enter);
        await reader.sees(/✔ 01 [^]*Leave\n/);
        reader.types(keys.ctrlC);
      }),
    );
    const { stdout } = await run(contents(), { env });
    assert.match(stdout, /^ .*told, [1-9] of \d\d rows as Docker has them$/m);
    assert.equal(stdout.match(/told/g)?.length, 1);
    rmSync(dirname(directory), { recursive: true });
  });

  test("comes back to the same chapter when it was stopped", { skip: cannotRun }, async () => {
    await leavesNothing(() =>
      atTerminal(contents(), {}, async ({ sees, types }) => {
        await sees(/Leave\n/);
        types(keys.enter);
        await sees(/Go on\?[^]*Stop here\n/);
        types(keys.ctrlC);
        await sees(/● +01 .*\n[^]*Leave\n/);
        types(keys.ctrlC);
      }),
    );
  });

  test("asks by number when the terminal is dumb", { skip: cannotRun }, async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(contents("--yes"), { env: { TERM: "dumb" } }, async ({ sees, types }) => {
        const leave = parseInt(await sees(/\d+ +Leave$/m));
        await sees(/Which chapter\? \[1\] $/);
        types("2\r");
        await sees(/^Told to the end/m);
        await sees(/Which chapter\? \[3\] $/);
        types(`${leave}\r`);
      }),
    );
    assert.equal(status, 0);
  });
});
