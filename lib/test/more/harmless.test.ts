/**
 * Flags that are commands, names that are escape sequences, and what others can see of a chapter.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import {
  cannotRun,
  chapter,
  fixture,
  injections,
  leavesNothing,
  refused,
  run,
  temporary,
} from "../testing.ts";

const path = fixture("walk");

// ── Flags

test(
  "a chapter refuses a flag's value that is a command, and runs none",
  { skip: cannotRun, concurrency: 4 },
  async (t) => {
    await leavesNothing(async () => {
      const trap = temporary("trap");
      const [substituted, backquoted, next, single, double, line] = injections.map(
        (inject, index) => inject(`touch ${trap}/${index}`),
      );
      const tests = [
        [next!],
        [`--${substituted}`],
        ["--rootfs", double!],
        ["--rootfs", `${single}.tar`],
        ["--rootfs", `docker:${substituted}`],
        ["--rootfs", `docker:--privileged`],
        ["--rootfs", `podman:x${next}`],
        ["--rootfs", `podman:x\n${line}`],
        ["--rootfs", `podman:${backquoted}`],
        ["--rootfs", ""],
      ].map((flags) =>
        t.test(JSON.stringify(flags), async () => {
          refused(await run(chapter(path, "--yes", ...flags)));
          assert.deepEqual(readdirSync(trap), []);
        }),
      );
      await Promise.all(tests);
      rmSync(dirname(trap), { recursive: true });
    });
  },
);

// ── What is printed

/** Names that move the cursor, retitle the window, or look like a line of the chapter's. */
const escapes = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\nsudo rm -rf ~\n";

/** Asserts that a screen has these names on it, and that they do nothing there. */
function assertHarmless(stdout: string) {
  assert.match(stdout, /owned/);
  assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  assert.doesNotMatch(stdout, /^sudo rm/m);
}

/** The directories of ours in a TMPDIR, and those that a chapter made in them. */
function directoriesIn(tmp: string): string[] {
  const own = (name: string) => /^by-hand\./.test(name);
  const outer = readdirSync(tmp)
    .filter(own)
    .map((name) => join(tmp, name));
  return outer.flatMap((directory) => [directory, ...directoriesIn(directory)]);
}

test(
  "a chapter prints a file's name harmlessly when it holds escape sequences",
  { skip: cannotRun },
  async () => {
    const tmp = temporary();
    const { status, stdout } = await leavesNothing(() =>
      run(chapter(path, "--yes"), {
        tmp,
        env: { NO_COLOR: "1" },
        once: {
          prints: /^sudo unshare /m,
          then: () => {
            const work = directoriesIn(tmp).at(-1)!;
            writeFileSync(join(work, escapes), "");
          },
        },
      }),
    );
    assert.equal(status, 0);
    assertHarmless(stdout);
  },
);

test(
  "recovery prints paths and command lines harmlessly when they hold escape sequences",
  { skip: cannotRun },
  () =>
    leavesNothing(async () => {
      const outer = temporary();
      const tmp = join(outer, escapes);
      const space = readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
      const left = join(tmp, `by-hand.${space}.${2 ** 30}.1.abcdef`);
      mkdirSync(left, { recursive: true });
      const sleeper = spawn("sleep", ["1d"], { argv0: escapes, cwd: left });
      const ended = once(sleeper, "exit");
      try {
        const { status, stdout } = await run(chapter(path, "--yes"), {
          ...{ tmp, env: { NO_COLOR: "1" } },
        });
        await ended;
        assert.equal(status, 0);
        assert.match(stdout, /^It is cleared\.$/m);
        assertHarmless(stdout);
      } finally {
        rmSync(dirname(outer), { recursive: true });
      }
    }),
);

test("a refusal prints a path harmlessly when it holds escape sequences", async () => {
  // A complaint may have several lines.
  const archive = `/nowhere/${escapes.replaceAll("\n", "")}.tar`;
  const command = chapter(path, "--yes", "--rootfs", archive);
  const { status, stderr } = await run(command, { env: { NO_COLOR: "1" } });
  assert.equal(status, 2);
  assertHarmless(stderr);
});

// ── What others can see

test(
  "directories are their user's alone, files too, and their names are new each time",
  { skip: cannotRun },
  async () => {
    const modes = new Map<string, number>();
    const look = (path: string) => modes.set(path, statSync(path).mode & 0o7777);
    for (const umask of ["000", "022"]) {
      const tmp = temporary();
      const command = ["sh", "-c", `umask ${umask}; exec "$@"`, "-"];
      const { status } = await leavesNothing(() =>
        run([...command, ...chapter(path, "--yes")], {
          tmp,
          once: {
            prints: /^mkdir /m,
            then: () => {
              for (const directory of directoriesIn(tmp)) {
                look(directory);
                for (const entry of readdirSync(directory, {
                  withFileTypes: true,
                }))
                  if (entry.isFile()) look(join(directory, entry.name));
              }
            },
          },
        }),
      );
      assert.equal(status, 0);
    }
    const names = [...modes.keys()].map((each) => basename(each));
    assert.ok(names.includes("state"));
    for (const [each, mode] of modes) {
      const expected = basename(each).startsWith("by-hand.") ? 0o700 : 0o600;
      assert.equal(mode.toString(8), expected.toString(8), each);
    }
    const made = names.filter((name) => name.startsWith("by-hand."));
    assert.equal(new Set(made).size, made.length);
    for (const name of made) assert.match(name, /\.\w{6}$/);
  },
);
