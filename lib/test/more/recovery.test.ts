/**
 * What a chapter that was killed has left, the next one clears; and chapters side by side leave each
 * other alone.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { stat } from "../../kernel.ts";
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
  mode,
  notRoot,
  question,
  type Reader,
  run,
  sudo,
  temporary,
  tidy,
  toldToItsEnd,
  whyNots,
} from "../testing.ts";

const path = fixture("walk");

describe("the next start", { skip: cannotRun }, () => {
  const pidNamespace = readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
  /** A directory's name as a chapter with this pid gives it. */
  const nameOf = (pid: number, started: string, namespace = pidNamespace) =>
    `by-hand.${namespace}.${pid}.${started}.abcdef`;
  /** The name of one whose chapter is gone: there is no such pid. */
  const gone = nameOf(2 ** 30, "1");

  const killed = /A chapter that was killed has left this behind:/;
  const leave = /Leave it as it is\n/;

  /** Runs a chapter to its end. */
  const start = async (tmp: string) =>
    toldToItsEnd(await run(chapter(path, "--yes"), { tmp })).stdout;

  test("says which directories, mounts and processes are left, and clears them", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      await run(chapter(path, "--yes"), {
        ...{ tmp, once: { prints: /^sudo unshare /m, then: (child) => child.kill("SIGKILL") } },
      });
      const [left = ""] = readdirSync(tmp);
      const stdout = await start(tmp);
      const [, list = ""] = /left this behind:\n\n([^]*?)\n\n/.exec(stdout) ?? [];
      assert.ok(list.split("\n").includes(`  directory  ${join(tmp, left)}`), stdout);
      // Rootless, the kernel has taken them away.
      if (mode !== "rootless") {
        assert.match(list, /^  process    \d+ sleep 1d$/m);
        assert.match(list, new RegExp(`^  mount      ${tmp}/${left}/\\S+/mounted$`, "m"));
      }
      for (const line of list.split("\n"))
        assert.match(line, /^  (directory|mount     |process   )  ?\S/);
      assert.match(stdout, /^It is cleared\.$/m);
    }));

  test("asks at a terminal, and leaves it if that is the answer", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      mkdirSync(join(tmp, gone));
      const walk = (reader: (reader: Reader) => Promise<void>) =>
        atTerminal(chapter(path), { tmp }, reader);

      const left = await walk(async ({ sees, types }) => {
        await sees(killed);
        await sees(leave);
        types(keys.down + keys.enter);
        await sees(question);
        types(keys.up + keys.enter);
      });
      assert.equal(left.status, 130);
      assert.deepEqual(readdirSync(tmp), [gone]);

      const stopped = await walk(async ({ sees, types }) => {
        await sees(leave);
        types(keys.ctrlC);
      });
      assert.equal(stopped.status, 130);
      assert.deepEqual(readdirSync(tmp), [gone]);

      const cleared = await walk(async ({ sees, types }) => {
        await sees(leave);
        types(keys.enter);
        await sees(/^It is cleared\.$/m);
        await sees(question);
        types(keys.up + keys.enter);
      });
      assert.equal(cleared.status, 130);
    }));

  test("clears nothing that is not a directory which a chapter of this user has left", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const elsewhere = temporary("elsewhere");
      writeFileSync(join(elsewhere, "marker"), "");
      const names = {
        "a link": nameOf(2 ** 30, "2"),
        "a file": nameOf(2 ** 30, "3"),
        "of a chapter that runs": nameOf(process.pid, String(stat(process.pid)!.started)),
        "of another pid namespace": nameOf(2 ** 30, "1", "4026531000"),
        "mktemp's, from a printed script": "by-hand.abcdef",
        "not quite such a name": `${gone}g`,
      };
      for (const name of Object.values(names))
        if (name === names["a link"]) symlinkSync(elsewhere, join(tmp, name));
        else if (name === names["a file"]) writeFileSync(join(tmp, name), "");
        else mkdirSync(join(tmp, name));
      assert.doesNotMatch(await start(tmp), killed);
      assert.deepEqual(readdirSync(tmp).sort(), Object.values(names).sort());
      assert.deepEqual(readdirSync(elsewhere), ["marker"]);
      rmSync(dirname(tmp), { recursive: true });
      rmSync(dirname(elsewhere), { recursive: true });
    }));

  test("does not touch another user's directory", { skip: notRoot }, () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const theirs = join(tmp, gone);
      mkdirSync(theirs);
      const command = [...sudo, "chown", "65534", theirs];
      execFileSync(command[0]!, command.slice(1));
      assert.doesNotMatch(await start(tmp), killed);
      assert.deepEqual(readdirSync(tmp), [gone]);
      rmSync(dirname(tmp), { recursive: true });
    }),
  );

  test("does not follow links out of what was left", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const elsewhere = temporary("elsewhere");
      mkdirSync(join(elsewhere, "closed"), { mode: 0o500 });
      writeFileSync(join(elsewhere, "marker"), "");
      mkdirSync(join(tmp, gone));
      symlinkSync(elsewhere, join(tmp, gone, "link"));
      symlinkSync("/", join(tmp, gone, "a\n\x1b[2Jb"));
      assert.match(await start(tmp), /^It is cleared\.$/m);
      assert.deepEqual(readdirSync(elsewhere).sort(), ["closed", "marker"]);
      assert.equal(statSync(join(elsewhere, "closed")).mode & 0o777, 0o500);
      rmSync(dirname(elsewhere), { recursive: true });
    }));

  test("leaves a chapter alone that waits for its reader", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const { status } = await atTerminal(chapter(path), { tmp }, async (reader) => {
        await agreeUntil(reader, /sudo unshare/);
        assert.doesNotMatch(await start(tmp), killed);
        reader.types(keys.enter);
        await agree(reader);
      });
      assert.equal(status, 0);
    }));
});

test("twenty chapters at once do not disturb each other", { skip: cannotRun }, () =>
  leavesNothing(async () => {
    const tmp = temporary();
    await run(chapter(path, "--yes"), {
      ...{ tmp, once: { prints: /^mkdir mounted$/m, then: (child) => child.kill("SIGKILL") } },
    });
    // The first to end must not tidy up under the others.
    const marker = join(tmp, "marker");
    writeFileSync(marker, "");
    const why = await whyNots();
    const told = chapters.filter((each) => !why.get(each));
    const runs = Array.from({ length: 20 }, (_, index) =>
      run(chapter(told[index % told.length]!, "--yes"), { tmp }),
    );
    (await Promise.all(runs)).forEach(toldToItsEnd);
    rmSync(marker);
    tidy(tmp);
  }),
);
