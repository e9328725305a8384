import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { clear, register } from "../cleanup.ts";
import { askLdd, copyListed } from "../rootfs.ts";
import { openShell } from "../shell.ts";
import {
  leavesNothing,
  mapped,
  mode,
  noMapped,
  notRoot,
  run,
  temporary,
  tidy,
  tsxEval,
} from "./testing.ts";

/** A directory to clear, and a shell in it whose lines must succeed. */
function workDirectory() {
  const tmp = temporary();
  const directory = mkdtempSync(join(tmp, "by-hand."));
  const shell = openShell(directory, mode === "sudo" ? "sudo" : "root");
  const lines = async (...lines: string[]) => {
    for (const line of lines) {
      const output = await shell.run(line);
      assert.ok(output.ok, `${line}: ${output.stderr}`);
    }
  };
  return { tmp, directory, shell, lines };
}

/** Clears a directory in a process apart, which prints what clear() returns. */
async function clearApart(directory: string, inside: string[] = []) {
  const code = `
    const { clear } = await load("cleanup.ts");
    const { openShell } = await load("shell.ts");
    const { DIRECTORY, SUDO, TMPDIR } = process.env;
    const shell = openShell(TMPDIR, SUDO ? "sudo" : "root");
    console.log(clear(DIRECTORY, shell, Boolean(SUDO)));`;
  const tmp = temporary();
  const sudo = mode === "sudo" && inside.length === 0;
  const env = { DIRECTORY: directory, SUDO: sudo ? "yes" : "" };
  const printed = await run([...inside, ...tsxEval(code)], { tmp, env });
  rmSync(join(tmp, "state"));
  tidy(tmp);
  return printed;
}

test("clear() removes what its user made when it may not be root", () =>
  leavesNothing(async () => {
    const { tmp, directory, shell } = workDirectory();
    mkdirSync(join(directory, "work/work"), { recursive: true });
    chmodSync(join(directory, "work/work"), 0);
    assert.equal(clear(directory, shell, false), undefined);
    assert.ok(!existsSync(directory));
    tidy(tmp);
  }));

describe("clear()", { skip: notRoot }, () => {
  test("ends the processes whose working directory or root is inside, and no other", (t) =>
    leavesNothing(async () => {
      const { tmp, directory, shell, lines } = workDirectory();
      const outside = spawn("sleep", ["1d"], { cwd: "/" });
      t.after(() => outside.kill());
      await lines(
        "mkdir root 'a b'",
        askLdd(["sleep"]),
        copyListed("root"),
        "cd 'a b'; sleep 1d &> /dev/null & INSIDE=$!",
        // Its working directory is outside: nsenter does not change it.
        'cd ..; ROOT=$PWD/root; cd /; sudo nsenter --pid=/proc/self/ns/pid --root="$ROOT" sleep 1d &> /dev/null &',
        `until sudo find /proc/[0-9]*/root -lname "$ROOT" 2>/dev/null | grep .; do sleep .05; done`,
        "kill -0 $INSIDE",
      );
      assert.equal(clear(directory, shell, mode === "sudo"), undefined);
      assert.ok(!existsSync(directory));
      assert.equal(outside.signalCode, null);
      outside.kill();
      tidy(tmp);
    }));

  test("unmounts a mount in a mount first, and two on one directory", () =>
    leavesNothing(async () => {
      const { tmp, directory, lines } = workDirectory();
      await lines(
        "mkdir 'a b'; sudo mount -t tmpfs none 'a b'",
        "sudo mkdir 'a b/c'; sudo mount -t tmpfs none 'a b/c'",
        "sudo mount -t tmpfs none 'a b/c'; sudo touch 'a b/c/file'",
      );
      // In any other order umount would complain that one is busy.
      const { stdout, stderr } = await clearApart(directory);
      assert.equal(stderr, "");
      assert.equal(stdout, "undefined\n");
      assert.ok(!existsSync(directory));
      tidy(tmp);
    }));

  test("unmounts what a process outside has a file open on", (t) =>
    leavesNothing(async () => {
      const { tmp, directory, shell, lines } = workDirectory();
      await lines("mkdir m; sudo mount -t tmpfs -o mode=777 none m; touch m/file");
      const file = openSync(join(directory, "m/file"), "r");
      const outside = spawn("sleep", ["1d"], {
        cwd: "/",
        stdio: [file, "ignore", "ignore"],
      });
      t.after(() => outside.kill());
      closeSync(file);
      assert.equal(clear(directory, shell, mode === "sudo"), undefined);
      assert.ok(!existsSync(directory));
      assert.equal(outside.signalCode, null);
      outside.kill();
      tidy(tmp);
    }));

  test("removes nothing through a mount of a directory from elsewhere", () =>
    leavesNothing(async () => {
      const { tmp, directory, shell, lines } = workDirectory();
      await lines(
        "mkdir m ../elsewhere; echo precious > ../elsewhere/marker",
        "sudo mount --bind ../elsewhere m; sudo mount --bind ../elsewhere m",
        "grep precious m/marker",
      );
      assert.equal(clear(directory, shell, mode === "sudo"), undefined);
      assert.ok(!existsSync(directory));
      const elsewhere = join(tmp, "elsewhere");
      assert.equal(readFileSync(join(elsewhere, "marker"), "utf8"), "precious\n");
      rmSync(elsewhere, { recursive: true });
      tidy(tmp);
    }));

  test("runs what was registered as root, where there is no terminal to ask at", () =>
    leavesNothing(async () => {
      const { tmp, directory, shell, lines } = workDirectory();
      await register("sudo rmdir $TMPDIR/../elsewhere", shell);
      await lines("sudo mkdir ../elsewhere");
      const { stdout, stderr } = await clearApart(directory);
      assert.deepEqual([stdout, stderr], ["undefined\n", ""]);
      tidy(tmp);
    }));

  test("removes nothing at all while a mount is left, and says so", { skip: noMapped }, () =>
    leavesNothing(async () => {
      const { tmp, directory, shell, lines } = workDirectory();
      await lines(
        "mkdir m ../elsewhere; echo precious > ../elsewhere/marker",
        "sudo mount --bind ../elsewhere m; touch beside",
      );
      // In a user namespace of its own it can see the mount, and not undo it.
      const { stdout } = await clearApart(directory, mapped);
      assert.ok(stdout.includes(join(directory, "m")), stdout);
      const elsewhere = join(tmp, "elsewhere");
      for (const kept of [
        ...[join(elsewhere, "marker"), join(directory, "m/marker")],
        join(directory, "beside"),
      ])
        assert.ok(existsSync(kept), kept);

      assert.equal(clear(directory, shell, mode === "sudo"), undefined);
      rmSync(elsewhere, { recursive: true });
      tidy(tmp);
    }),
  );

  for (const [kind, mount] of [
    ["a bind mount", "sudo mount --bind root root"],
    [
      "an overlay",
      'mkdir up wk; sudo mount -t overlay -o lowerdir="$PWD"/root,upperdir="$PWD"/up,workdir="$PWD"/wk o root',
    ],
  ] as const)
    test(`ends a process whose root, by pivot_root, is ${kind}, and no other`, (t) =>
      leavesNothing(async () => {
        const { tmp, directory, shell, lines } = workDirectory();
        await lines(
          "mkdir root",
          askLdd(["bash", "sleep"]),
          copyListed("root"),
          `mkdir root/old; ${mount}`,
          // It has a copy of the mount, and its root is the host's.
          'cd /; sudo unshare --mount sleep 1d &> /dev/null & cd "$TMPDIR"; OTHER=$!',
          "until pgrep -f '^sleep 1d' -P $OTHER || grep -q sleep /proc/$OTHER/comm; do sleep .02; done",
          "sudo unshare --mount bash -c 'cd root; pivot_root . old; cd /; exec sleep 1d' &> /dev/null & PIVOTED=$!",
          "until pgrep -f '^sleep 1d' -P $PIVOTED || grep -q sleep /proc/$PIVOTED/comm; do sleep .02; done",
          "sudo umount root; kill -0 $OTHER",
        );
        const other = (await shell.run("echo $OTHER")).stdout.trim();
        t.after(() => shell.runSync(`sudo kill $(pgrep -P ${other}) ${other}`));
        assert.equal(clear(directory, shell, mode === "sudo"), undefined);
        assert.ok(!existsSync(directory));
        assert.match(shell.runSync(`ps -o stat= -p ${other}`).stdout, /^[^Z]/);
        shell.runSync(`sudo kill $(pgrep -P ${other}) ${other}`);
        tidy(tmp);
      }));
});
