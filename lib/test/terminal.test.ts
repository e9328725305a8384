/**
 * A chapter at a terminal: what stands on the screen, and what the reader may do.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import headless from "@xterm/headless";
import {
  agree,
  agreeUntil,
  atTerminal,
  cannotRun,
  chapter,
  chapters,
  fixture,
  keys,
  leavesNothing,
  numbered,
  run,
  tellable,
  tsx,
  typedLines,
} from "./testing.ts";

/** What stands on a terminal's screen and above it, after all that was written; wrapped lines as one. */
async function finalScreen(raw: string, cols: number, rows: number): Promise<string[]> {
  const terminal = new headless.Terminal({
    ...{ cols, rows, scrollback: 10_000, allowProposedApi: true },
  });
  await new Promise<void>((resolve) => terminal.write(raw, resolve));
  const { buffer } = terminal;
  const lines: string[] = [];
  for (let row = 0; row < buffer.active.length; row++) {
    const line = buffer.active.getLine(row)!;
    const text = line.translateToString(true);
    if (line.isWrapped) lines[lines.length - 1] += text;
    else lines.push(text);
  }
  return lines;
}

/** Two chapters, or with BY_HAND_ALL all that can be told here, at a narrow terminal. */
const narrow = process.env.BY_HAND_ALL ? await tellable(chapters) : [numbered("05")];
const walks = [[numbered("02"), 100, 30], ...narrow.map((path) => [path, 60, 20])] as [
  string,
  number,
  number,
][];

describe("a chapter at a terminal", { skip: cannotRun }, () => {
  for (const [path, cols, rows] of walks)
    test(`${path} goes all the way on Enter in ${cols} columns, and no question stays`, async () => {
      const { status, output, raw } = await leavesNothing(() =>
        atTerminal(chapter(path), { cols, rows }, (reader) => agree(reader)),
      );
      assert.equal(status, 0, output);
      const script = (await run(tsx(path, "--print"))).stdout;
      const typed = typedLines(script);
      const shown = output.split("\n");
      const screen = await finalScreen(raw, cols, rows);
      for (const line of typed.filter((line) => line !== "exit")) {
        assert.ok(shown.includes(line), `not shown: ${line}`);
        assert.ok(screen.includes(line), `not on the screen: ${line}\n${screen.join("\n")}`);
      }
      // typedLines() leaves out what is a comment, also one in a file that is written.
      const ours = new Set([...typed, ...script.split("\n")]);
      const tooLong = shown.filter((line) => line.length > cols && !ours.has(line));
      assert.deepEqual(tooLong, []);

      const told = screen.slice(
        0,
        screen.findIndex((line) => line.startsWith("Told to the end")),
      );
      const residue = /Go on\?|Run it|Stop here|Look around first|Have the lines typed|[◆◇●○]/;
      assert.deepEqual(
        told.filter((line) => residue.test(line)),
        [],
      );
      // Nor does it leave a hole.
      assert.doesNotMatch(told.join("\n"), /\n\n\n/);

      const headings = told.flatMap((line) => /^── .* (\d+ of \d+)$/.exec(line)?.[1] ?? []);
      assert.ok(headings.length > 1);
      const all = headings.map((_, index) => `${index + 1} of ${headings.length}`);
      assert.deepEqual(headings, all);
    });

  test("gives the reader a shell to look around in, and one to type in", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(chapter(fixture("walk")), {}, async (reader) => {
        const { sees, types } = reader;
        await agreeUntil(reader, /sudo mount/);
        types(keys.down + keys.enter);
        await sees(/[#$] $/);
        types('[ "$PWD" = "$WORK" ] && ls -A && basename $PWD\r');
        await sees(/^mounted\nby-hand\.\w+$/m);
        types("exit\r");
        await agreeUntil(reader, /sudo unshare/);
        types(keys.down + keys.enter);
        // The prompt of a root shell, on a terminal.
        await sees(/# $/);
        types("tty; echo typed-here $$\r");
        await sees(/^\/dev\/pts\/\d+\ntyped-here 1$/m);
        types("exit\r");
        await sees(/The same lines once more[^]*^in-here 1|in-here 1/m);
        await agree(reader);
      }),
    );
    assert.equal(status, 0);
  });

  test("asks by number, without a symbol or a colour, when the terminal is dumb", async () => {
    const { status, output, raw } = await leavesNothing(() =>
      atTerminal(chapter(fixture("walk")), { env: { TERM: "dumb" } }, async ({ sees, types }) => {
        for (;;) {
          const seen = await sees(/\? \[1\] $|^Told to the end/m);
          if (seen.startsWith("Told")) return;
          types("\r");
        }
      }),
    );
    assert.equal(status, 0, output);
    assert.doesNotMatch(raw, /\x1b|[●○◆]/);
  });

  test("stops at the end when the reader says so, and undoes everything", async () => {
    const { status, output } = await leavesNothing(() =>
      atTerminal(chapter(fixture("walk")), {}, async (reader) => {
        await agreeUntil(reader, /kill \$SLEEPER/);
        reader.types(keys.up + keys.enter);
      }),
    );
    assert.equal(status, 130);
    assert.match(output, /^Everything that was done so far is undone\.$/m);
  });
});
