/**
 * What this machine does not allow, in a kernel of its own (.ci/run-in-vm): cgroups of version 2
 * alone, for each kind of reader; and where groups cannot be limited, the reason.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findProgram } from "../../shell.ts";
import { file, inShort, mode, refused, run, toldToItsEnd, tsx } from "../testing.ts";

const skip =
  (mode !== "root" && "needs root") ||
  (!findProgram("linux.uml") && "not installed: linux.uml (user-mode-linux)");

const quote = (word: string) => `'${word}'`;
const cgroup = tsx(file("chapters/06-cgroup.ts"), "--yes").map(quote).join(" ");

/** Where the groups at the top are, and what is to be seen of ours in there. */
const top = "/sys/fs/cgroup";
const look = `cd ${top}; echo "handed down: $(cat cgroup.subtree_control)"; find . -name '*by-hand*' -o -name 'run-*'; ls -A /tmp | grep by-hand`;

/** Runs lines of shell in there, as bash does. */
const inVm = (lines: string, ...how: string[]) =>
  run([file(".ci/run-in-vm"), ...how, "bash", "-c", lines], {
    ...{ timeout: 800_000, env: { NO_COLOR: "1" } },
  });

describe("in a kernel of its own", { skip, concurrency: 2 }, () => {
  for (const [who, how, flags] of [
    ["root", [], ""],
    ["a user with sudo", ["--sudo"], ""],
    ["a user to whom systemd hands a group", ["--systemd"], "--rootless"],
  ] as const)
    test(`chapter 6 is told to ${who}, and leaves nothing`, async () => {
      const told = await inVm(`${cgroup} ${flags} || exit; ${look}; true`, ...how);
      assert.match(toldToItsEnd(told).stdout, /Told to the end\. Claims that held: \d+\./);
      const after = told.stdout.split("handed down: ")[1];
      // That systemd hands all down.
      assert.equal(after, how[0] === "--systemd" ? "cpu memory pids\n" : "\n", inShort(told));
    });

  test("its challenges are solved by their solutions", async () => {
    const told = await inVm(`${cgroup} --challenge || exit; ${look}; true`, "--sudo");
    assert.equal(told.stdout.match(/^Solved\.$/gm)?.length, 2, inShort(told));
    assert.equal(told.stdout.split("handed down: ")[1], "\n", inShort(told));
  });

  test("a claim of chapter 6 does not hold where the limit does not, and then all is undone", async () => {
    // A tee that writes ten times the memory that it is told to.
    const told = await inVm(
      `cp /usr/bin/tee /run/tee; printf '#!/bin/sh\\nsed s/64M/640M/ | /run/tee "$@"\\n' > /run/liar; chmod +x /run/liar
       mount --bind /run/liar /usr/bin/tee; ${cgroup}; echo "status $?"; ${look}; true`,
    );
    assert.match(told.stdout, /^✘ 90 MB were too much/m, inShort(told));
    assert.match(told.stdout, /^status 1$/m, inShort(told));
    assert.equal(told.stdout.split("handed down: ")[1], "\n", inShort(told));
  });

  for (const [what, lines, why] of [
    ["version 1", `mount -t tmpfs none ${top}`, /unified_cgroup_hierarchy=1/],
    [
      "read-only groups",
      `mount --bind ${top} ${top}; mount -o remount,bind,ro ${top}`,
      /container/,
    ],
    [
      "a real-time process in a group",
      `mkdir ${top}/rt; chrt -f 10 sleep 1d & echo $! > ${top}/rt/cgroup.procs`,
      /no real-time process/,
    ],
    [
      "a container with its processes at the top",
      `echo +cpu +memory +pids > ${top}/cgroup.subtree_control; mkdir ${top}/its; echo $$ > ${top}/its/cgroup.procs; set -- unshare --cgroup --mount bash -c 'umount ${top}; mount -t cgroup2 none ${top}; exec "$@"' bash`,
      /--cgroupns=host/,
    ],
  ] as const)
    test(`chapter 6 is refused with ${what}, before its first step`, async () => {
      const told = await inVm(`set --; ${lines}; "$@" ${cgroup}`);
      assert.match(refused({ ...told, stderr: told.stdout, stdout: "" }), why);
    });

  test("chapter 6 is refused without a controller, or a systemd to hand groups out", async () => {
    const told = await inVm(`${cgroup} --rootless; echo "status $?"`);
    assert.match(told.stdout, /systemd hands them out, but not here: .*[^]*^status 2$/m);
  });
});
