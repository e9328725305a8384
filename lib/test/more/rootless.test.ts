/**
 * --rootless: the whole course for someone who is not root, in a sandbox that
 * takes everything with it.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { children } from "../kernel.ts";
import { sandbox } from "../preflight.ts";
import {
  agree,
  atTerminal,
  file,
  keys,
  leavesNothing,
  missingTools,
  question,
  run,
  succeeds,
  temporary,
  tsx,
  typedLines,
} from "./testing.ts";

const names = ["01-chroot", "02-unshare", "03-nsenter", "04-overlay"];
const path = (name: string) => file(`chapters/${name}.ts`);
const rootless = (name: string, ...flags: string[]) => tsx(path(name), "--rootless", ...flags);

const noSandbox =
  missingTools("ip", "ps", "pgrep", "hostname", "ldd", "find") ||
  (!succeeds("bash", "-c", `${sandbox} true`) &&
    "no user namespaces for this user on this machine");

describe("--rootless", { skip: noSandbox }, () => {
  test(
    "tells every chapter to its end, with the same lines and claims",
    { concurrency: 4 },
    async (t) => {
      await leavesNothing(async () => {
        const tests = names.map((name) =>
          t.test(name, async () => {
            const { stdout: script } = await run(tsx(path(name), "--print"));
            const told = await run(rootless(name, "--yes"));
            assert.equal(told.stderr, "");
            assert.equal(told.status, 0);
            const claims = (text: string, mark: string) =>
              text
                .split("\n")
                .filter((line) => line.startsWith(mark))
                .map((line) => line.slice(mark.length));
            assert.equal(claims(told.stdout, "✔ ").length, claims(script, "# ✔ ").length);
            assert.doesNotMatch(told.stdout, /✘/);
            assert.match(told.stdout, /user namespace/);
            const lines = typedLines(script);
            const shown = told.stdout.split("\n").filter((line) => lines.includes(line));
            // A shell that dies early is not left by the exit that was typed.
            assert.deepEqual(
              shown.filter((line) => line !== "exit"),
              lines.filter((line) => line !== "exit"),
            );
          }),
        );
        await Promise.all(tests);
      });
    },
  );

  test("prints the same script", async () => {
    for (const name of names) {
      const [plain, sandboxed] = await Promise.all([
        run(tsx(path(name), "--print")),
        run(rootless(name, "--print")),
      ]);
      assert.equal(sandboxed.stdout, plain.stdout);
      assert.equal(sandboxed.status, 0);
    }
  });
});

describe("--rootless at a terminal", { skip: noSandbox }, () => {
  test("goes all the way on Enter", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(rootless("02-unshare"), {}, (reader) => agree(reader)),
    );
    assert.equal(status, 0);
  });

  test("gives a shell with a terminal and job control to the reader who types", async () => {
    const { status, output } = await leavesNothing(() =>
      atTerminal(rootless("02-unshare"), {}, async (reader) => {
        const { sees, types } = reader;
        await agree(reader, 1);
        await sees(question);
        types(keys.down + keys.enter);
        await sees(/# $/);
        types("tty; echo in-here $$\r");
        await sees(/^\/dev\/pts\/\d+\nin-here 1$/m);
        await sees(/# $/);
        types("sleep 1000\r");
        await sees(/sleep 1000\n/);
        types(keys.ctrlC);
        await sees(/# $/);
        types("echo still-here\r");
        await sees(/^still-here$/m);
        await sees(/# $/);
        types("exit\r");
        await sees(/^ps -ax$/m);
        await agree(reader);
      }),
    );
    assert.equal(status, 0);
    assert.doesNotMatch(output, /no job control|cannot set terminal/);
  });

  test("stops when the reader says so", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(rootless("03-nsenter"), {}, async (reader) => {
        await agree(reader, 3);
        await reader.sees(question);
        reader.types(keys.up + keys.enter);
      }),
    );
    assert.equal(status, 130);
  });
});

describe("--rootless leaves nothing when", { skip: noSandbox }, () => {
  /** The processes of a chapter and its sandbox, from the outside in. */
  function processes({ pid = 0 }: ChildProcess) {
    const isNode = (pid: number) =>
      readlinkSync(`/proc/${pid}/exe`) === realpathSync(process.execPath);
    const unshare = children(pid).find((child) =>
      readFileSync(`/proc/${child}/comm`, "utf8").startsWith("unshare"),
    )!;
    const first = children(unshare)[0]!;
    const chapter = children(first).find(isNode)!;
    return {
      "the outer process": pid,
      unshare,
      "process 1": first,
      "the chapter": chapter,
    };
  }

  const ends = [
    ["the outer process", "SIGINT", 130],
    ["the outer process", "SIGTERM", 143],
    ["the outer process", "SIGHUP", 129],
    ["the chapter", "SIGINT", 130],
    ["the chapter", "SIGTERM", 143],
    ["the chapter", "SIGHUP", 129],
    ["the chapter", "SIGKILL", 137],
    ["process 1", "SIGKILL", 1],
    ["unshare", "SIGKILL", 1],
  ] as const;
  test("a signal comes to", { concurrency: 4 }, async (t) => {
    await leavesNothing(async () => {
      const tests = ends.map(([whose, signal, end]) =>
        t.test(`${whose}, ${signal}`, async () => {
          const { status } = await run(rootless("03-nsenter", "--yes"), {
            once: {
              prints: /^sudo nsenter .* a-container$/m,
              then: (child) => process.kill(processes(child)[whose], signal),
            },
          });
          assert.equal(status, end);
        }),
      );
      await Promise.all(tests);
    });
  });

  for (const [name, prints] of [
    ["03-nsenter", /^sudo nsenter /m],
    ["04-overlay", /^ls -lisa /m],
  ] as const)
    test(`${name} gets SIGKILL, not even a mount or a process, but for its directory`, () =>
      leavesNothing(async () => {
        const tmp = temporary();
        const { signal } = await run(rootless(name, "--yes"), {
          ...{ tmp, once: { prints, then: (child) => child.kill("SIGKILL") } },
        });
        assert.equal(signal, "SIGKILL");
        const left = readdirSync(tmp);
        assert.equal(left.length, 1);
        // Nothing clears up but the kernel.
        await run(["chmod", "-R", "u+rwx", join(tmp, left[0]!)], { tmp });
        rmSync(join(tmp, ".."), { recursive: true });
      }));

  test("it was killed and is started again", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const once = {
        prints: /^ls -lisa /m,
        then: (child: ChildProcess) => void child.kill("SIGKILL"),
      };
      await run(rootless("04-overlay", "--yes"), { tmp, once });
      const { status, stdout } = await run(rootless("02-unshare", "--yes"), {
        tmp,
      });
      assert.match(stdout, /A chapter that was killed has left this behind/);
      assert.match(stdout, /^It is cleared\.$/m);
      assert.equal(status, 0);
    }));
});
