/**
 * That the other tests can fail: leavesNothing() sees what is left on purpose, and that alone.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fixture, missingTools, mode, noOwnMounts, ownMounts, tsx } from "./testing.ts";

/** Where nobody else sees the mounts, the host name and the interfaces. */
const apart = [...ownMounts, "--uts", "--net"];

/** What ends by itself soon after it was seen, and holds none of our pipes. */
const stays = "sleep 20 &> /dev/null < /dev/null";
const root = mode === "root" ? "" : "--user --map-root-user ";

const cases = [
  [
    "nothing of somebody else's",
    "mount -t tmpfs none /mnt; umount /mnt; mount -t tmpfs none /media; ip link add vpn0 type veth peer name vpn1; sleep .3",
    /^$/,
  ],
  ["a file", "touch kept", /left: file "run\.\w+\/tmp\/kept"/],
  ["a directory", "mkdir 'a b'", /left: file "run\.\w+\/tmp\/a b"/],
  ["a mount", "mkdir m; mount -t tmpfs none m", /left: mount \/\S+\/m \(tmpfs/],
  ["a mount from here elsewhere", "mount --bind $PWD /mnt", /left: mount \/mnt/],
  ["a host name", "hostname left-over", /gone: host name .*left: host name left-over/],
  ["an interface", "ip link add by-hand0 type veth peer name by-hand1", /left: interface by-hand0/],
  [
    "a cgroup of version 1, in a hierarchy",
    "mount -t tmpfs none /sys/fs/cgroup; mkdir -p /sys/fs/cgroup/freezer/by-hand.left",
    /left: cgroup \/sys\/fs\/cgroup\/freezer\/by-hand\.left/,
  ],
  [
    "a controller that is handed down",
    "mount -t tmpfs none /sys/fs/cgroup; echo cpu > /sys/fs/cgroup/cgroup.subtree_control",
    /left: controller cpu handed down/,
  ],
  ["a process", `${stays} &`, /left: process \d+: sleep 20/],
  ["a process in a session of its own", `setsid ${stays} &`, /left: process \d+: sleep 20/],
  ["a process elsewhere", `cd /; TMPDIR=/ ${stays} &`, /left: process \d+: sleep 20/],
  [
    "a process elsewhere, in a session of its own, that knows our TMPDIR",
    `cd /; setsid ${stays} &`,
    /left: process \d+: sleep 20/,
  ],
  [
    "a process whose / is here",
    `mkdir bin; cp --parents $(type -P sleep) $(ldd $(type -P sleep) | grep -o '/[^ :]*') .
     cd /; env -i setsid $(type -P chroot) "$OLDPWD" $(type -P sleep) 20 &> /dev/null < /dev/null &`,
    /left: process \d+: \S*sleep 20/,
  ],
  [
    "a namespace, and a mount in it",
    `mkdir m; unshare ${root}--mount bash -c 'mount -t tmpfs none m; ${stays}' &> /dev/null &
     until grep -sq "$PWD/m" /proc/$!/mountinfo; do :; done`,
    /left: namespace mnt:\[\d+\] of \d+.*left: mount \S+\/m \(tmpfs \/\), for process/,
  ],
  [
    "a process that shares a namespace with one of ours, and else nothing",
    `unshare ${root}--ipc bash -c 'cd /; env -i setsid sleep 20; true' &> /dev/null < /dev/null &
     until pgrep -P $! sleep; do :; done`,
    /left: process \d+: sleep 20/,
  ],
] as const;

const skip = noOwnMounts || missingTools("ip", "hostname");

describe("leavesNothing()", { skip }, () => {
  let answers: string[] = [];
  // A TMPDIR of its own, since that run does not clear up.
  const directory = mkdtempSync(join(tmpdir(), "by-hand-leaves."));
  const elsewhere = mkdtempSync(join(tmpdir(), "elsewhere."));

  before(() => {
    // There is always a process that is new, with namespaces that are, and mounts.
    const loop = `while :; do unshare ${root}--mount --net bash -c 'mount -t tmpfs none /mnt; sleep .2'; done`;
    const stranger = spawn("bash", ["-c", loop], {
      ...{ cwd: elsewhere, env: { PATH: process.env.PATH, TMPDIR: elsewhere }, stdio: "ignore" },
    });
    const lines = cases.map(([, line]) => line);
    const [command = "", ...args] = [...apart, ...tsx(fixture("leaves"), ...lines)];
    const env = { ...process.env, TMPDIR: directory, TSX_DISABLE_CACHE: "1" };
    const { status, stdout, stderr } = spawnSync(command, args, { env, encoding: "utf8" });
    stranger.kill();
    assert.match(stderr, /^Left in \S+\/by-hand-test\.\w+: run\.\w+\b.*\n$/);
    assert.equal(status, 1);
    answers = JSON.parse(stdout) as string[];
  });
  after(() => [directory, elsewhere].forEach((each) => rmSync(each, { recursive: true })));

  cases.forEach(([what, , seen], index) =>
    test(`reports ${what}`, () => assert.match(answers[index]!, seen)),
  );
});
