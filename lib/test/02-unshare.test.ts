import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  agree,
  atTerminal,
  cannotRun,
  chapter,
  keys,
  leavesNothing,
  question,
  run,
  testChapter,
  typedLines,
} from "./testing.ts";

const path = "chapters/02-unshare.ts";

testChapter(path, {
  shows: [/^ *another-name$/m, /Cannot allocate memory/],
  stops: [
    ["SIGINT", /^hostname$/m],
    ["SIGTERM", /^sudo unshare --pid bash$/m],
    ["SIGHUP", /--mount-proc --root rootfs bash$/m],
  ],
});

describe(`${path} at a terminal`, { skip: cannotRun }, () => {
  for (const [cols, rows] of [
    [100, 30],
    [60, 20],
  ] as const)
    test(`goes all the way on Enter when it has ${cols} columns`, async () => {
      const { status, output } = await leavesNothing(() =>
        atTerminal(chapter(path), { cols, rows }, async (reader) => {
          await agree(reader);
        }),
      );
      assert.equal(status, 0);
      const { stdout: script } = await run(chapter(path, "--print"));
      const lines = output.split("\n");
      const typed = typedLines(script);
      for (const line of typed) assert.ok(lines.includes(line), line);
      const tooLong = lines.filter((line) => line.length > cols && !typed.includes(line));
      assert.deepEqual(tooLong, []);
    });

  test("gives the shell to the reader who types", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(chapter(path), {}, async (reader) => {
        const { sees, types } = reader;
        await agree(reader, 1);
        await sees(question);
        types(keys.down + keys.enter);
        // The prompt of a root shell.
        await sees(/# $/);
        types("echo in-here $$\r");
        await sees(/^in-here 1$/m);
        types("exit\r");
        await sees(/^ps -ax$/m);
        await agree(reader);
      }),
    );
    assert.equal(status, 0);
  });

  test("opens a shell in its directory for the reader who looks around", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(chapter(path), {}, async (reader) => {
        const { sees, types } = reader;
        await agree(reader, 2);
        await sees(question);
        types(keys.down + keys.enter);
        await sees(/[#$] $/);
        types('[ "$PWD" = "$WORK" ] && ls -A | wc -l && basename $PWD\r');
        await sees(/^0\nby-hand\.\w+$/m);
        types("exit\r");
        await agree(reader);
      }),
    );
    assert.equal(status, 0);
  });

  test("stops when the reader says so", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(chapter(path), {}, async (reader) => {
        await agree(reader, 6);
        await reader.sees(question);
        reader.types(keys.up + keys.enter);
      }),
    );
    assert.equal(status, 130);
  });

  test("stops at Ctrl-C when it asks", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(chapter(path), {}, async (reader) => {
        await agree(reader, 6);
        await reader.sees(question);
        reader.types(keys.ctrlC);
      }),
    );
    assert.equal(status, 130);
  });

  test("stops when the terminal is closed while it asks", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(chapter(path), {}, async (reader) => {
        await agree(reader, 6);
        await reader.sees(question);
        reader.leaves();
      }),
    );
    assert.equal(status, 129);
  });
});
