/**
 * --rootless: the whole course for someone who is not root, in a sandbox that
 * takes everything with it.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { children, commandLine, everyone } from "../../kernel.ts";
import { sandbox } from "../../options/rootless.ts";
import {
  agree,
  agreeUntil,
  atTerminal,
  chapters,
  claimsIn,
  fixture,
  keys,
  leavesNothing,
  missingTools,
  run,
  succeeds,
  temporary,
  toldToItsEnd,
  tsx,
  typedLines,
  until,
  whyNot,
} from "../testing.ts";

const path = fixture("walk");
const rootless = (path: string, ...flags: string[]) => tsx(path, "--rootless", ...flags);

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
        const why = new Map<string, string | false>();
        for (const path of chapters) why.set(path, await whyNot(path, "--rootless"));
        const tests = chapters.map((path) =>
          t.test(basename(path), { skip: why.get(path) }, async () => {
            const { stdout: script } = await run(tsx(path, "--print"));
            const { stdout } = toldToItsEnd(await run(rootless(path, "--yes")));
            assert.deepEqual(claimsIn(stdout), claimsIn(script));
            assert.match(stdout, /user namespace/);
            const lines = typedLines(script);
            const shown = stdout.split("\n").filter((line) => lines.includes(line));
            // A shell that dies early is not left by the exit that was typed.
            const all = (list: string[]) => list.filter((line) => line !== "exit").join("\n");
            assert.equal(all(shown), all(lines));
          }),
        );
        await Promise.all(tests);
      });
    },
  );

  test("prints the same script", async () => {
    for (const path of chapters) {
      const [plain, sandboxed] = await Promise.all([
        run(tsx(path, "--print")),
        run(rootless(path, "--print")),
      ]);
      assert.equal(toldToItsEnd(sandboxed).stdout, plain.stdout);
    }
  });
});

describe("--rootless at a terminal", { skip: noSandbox }, () => {
  test("goes all the way on Enter", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(rootless(path), {}, (reader) => agree(reader)),
    );
    assert.equal(status, 0);
  });

  test("gives a shell with a terminal and job control to the reader who types", async () => {
    const { status, output } = await leavesNothing(() =>
      atTerminal(rootless(path), {}, async (reader) => {
        const { sees, types } = reader;
        await agreeUntil(reader, /sudo unshare/);
        types(keys.down + keys.enter);
        await sees(/# $/);
        types("tty; echo in-here $$\r");
        await sees(/^\/dev\/pts\/\d+\nin-here 1$/m);
        await sees(/# $/);
        types("sleep 1234\r");
        await until(() => everyone().some(({ pid }) => commandLine(pid) === "sleep 1234"));
        types(keys.ctrlC);
        await sees(/# $/);
        types("echo still-here\r");
        await sees(/^still-here$/m);
        await sees(/# $/);
        types("exit\r");
        await sees(/The same lines once more/);
        await agree(reader);
      }),
    );
    assert.equal(status, 0);
    assert.doesNotMatch(output, /no job control|cannot set terminal/);
  });

  test("stops when the reader says so", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(rootless(path), {}, async (reader) => {
        await agreeUntil(reader, /sudo unshare/);
        reader.types(keys.up + keys.enter);
      }),
    );
    assert.equal(status, 130);
  });
});

describe("--rootless leaves nothing when", { skip: noSandbox }, () => {
  /** Kills it while something is mounted, and a process runs. */
  const struck = {
    prints: /^sudo unshare /m,
    then: (child: ChildProcess) => void child.kill("SIGKILL"),
  };

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
          const { status } = await run(rootless(path, "--yes"), {
            once: {
              prints: /^sudo unshare /m,
              then: (child) => process.kill(processes(child)[whose], signal),
            },
          });
          assert.equal(status, end);
        }),
      );
      await Promise.all(tests);
    });
  });

  test("it gets SIGKILL, not even a mount or a process, but for its directory", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const { signal } = await run(rootless(path, "--yes"), { tmp, once: struck });
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
      await run(rootless(path, "--yes"), { tmp, once: struck });
      const { stdout } = toldToItsEnd(await run(rootless(path, "--yes"), { tmp }));
      assert.match(stdout, /A chapter that was killed has left this behind[^]*^It is cleared\.$/m);
    }));
});
