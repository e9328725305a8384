/**
 * What this machine does not allow, in a kernel of its own (.ci/run-in-vm): cgroups of version 2
 * alone, for each kind of reader, and beside Docker; and where groups cannot be limited, the reason.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findProgram } from "../../shell.ts";
import {
  file,
  inShort,
  missingTools,
  mode,
  refused,
  run,
  type Told,
  toldToItsEnd,
  tsx,
} from "../testing.ts";

const skip =
  (mode !== "root" && "needs root") ||
  (!findProgram("linux.uml") && "not installed: linux.uml (user-mode-linux)");

const told = (chapter: string) =>
  tsx(file(`chapters/${chapter}.ts`), "--yes")
    .map((word) => `'${word}'`)
    .join(" ");
const cgroup = told("06-cgroup");
const container = told("11-container");
const tests = ["faults", "more/cgroup", "more/answers"]
  .map((name) => file(`lib/test/${name}.test.ts`))
  .join(" ");

/** Where the groups at the top are, and what is to be seen of ours in there. */
const top = "/sys/fs/cgroup";
const look = `cd ${top}; echo "handed down: $(cat cgroup.subtree_control)"; find . -name '*by-hand*' -o -name 'run-*'; ls -A /tmp | grep by-hand`;

/** Runs a chapter, looks at what it left, and ends as it did. */
const andLook = (chapter: string) => `${chapter}; status=$?; ${look}; exit $status`;

/** That a chapter was told to its end, and left nothing but what a systemd hands down. */
function leftNothing(it: Told, handedDown = "") {
  toldToItsEnd(it);
  assert.equal(it.stdout.split("handed down: ")[1], `${handedDown}\n`, inShort(it));
}

/** That it was told to its end, with so many equal rows. Returns what it printed. */
const hasEqual = (rows: number) => (it: Told) => {
  const { stdout } = toldToItsEnd(it);
  assert.match(stdout, new RegExp(`^ +rows that are equal +${rows} of 18$`, "m"));
  return stdout;
};

/**
 * A daemon of Docker's, for the scenes that follow, and an image `it`. A containerd that it started itself
 * would have to be there in 15 s.
 */
const docker = `mount -t tmpfs tmpfs /var/lib/docker
containerd --root /run/images --state /run/containerd &> /run/containerd.log &
dockerd --containerd /run/containerd/containerd.sock --iptables=false --ip6tables=false --exec-opt native.cgroupdriver=cgroupfs &> /run/dockerd.log &
timeout 240 bash -c 'until docker version; do sleep 1; done' &> /dev/null || { cat /run/dockerd.log; exit 1; }
mkdir -p /run/root/{bin,proc,tmp}; cp "$(type -P busybox)" /run/root/bin
for name in $(busybox --list | grep -vx busybox); do ln -s busybox /run/root/bin/$name; done
tar -C /run/root -c . | docker import - it`;

/** That a chapter was refused before its first step, and why. */
const isRefused = (why: RegExp) => (it: Told) => {
  assert.doesNotMatch(it.stdout, /^WORK=/m);
  assert.match(refused({ ...it, stderr: it.stdout, stdout: "" }), why);
};

/** Lines of shell, and what must be true of their end: what a terminal shows is in `stdout`. */
type Scene = [lines: string, holds: (it: Told) => void];

/** Starts the kernel, and in there each scene after the other. */
async function play(scenes: Record<string, Scene>, how: string): Promise<Map<string, Told>> {
  // Only root may mount, and then each scene has mounts of its own.
  const bash = how === "" ? "unshare --mount bash" : "bash";
  const script = Object.values(scenes).map(
    ([lines]) => `${bash} -c "$(cat <<'SCENE'\n${lines}\nSCENE\n)"; echo "=== $?"`,
  );
  const flags = how === "" ? [] : [how];
  const whole = await run([file(".ci/run-in-vm"), ...flags, "bash", "-c", script.join("\n")], {
    timeout: 3_600_000,
    env: { NO_COLOR: "1", VM_TREE: process.env.VM_TREE, BY_HAND_SLOWNESS: "6" },
  });
  const parts = whole.stdout.split(/^=== (\d+)\n/m);
  assert.equal(parts.length, 2 * script.length + 1, inShort(whole));
  return new Map(
    Object.keys(scenes).map((name, index) => {
      const [stdout = "", status] = parts.slice(2 * index);
      return [name, { ...whole, stdout, status: Number(status) }];
    }),
  );
}

const readers: Record<string, [how: string, scenes: Record<string, Scene>]> = {
  root: [
    "",
    {
      "tells chapter 6": [andLook(cgroup), leftNothing],
      "faults leave nothing of chapter 6, each claim can fail, and the judge takes other answers": [
        // Handed down before, for several at once would take the controllers from each other.
        `echo +cpu +memory +pids > ${top}/cgroup.subtree_control
         BY_HAND_CHAPTERS=06 BY_HAND_FAULTS=7/150 node --import tsx --test --test-concurrency=1 ${tests}; status=$?
         echo -cpu -memory -pids > ${top}/cgroup.subtree_control; exit $status`,
        (it) => {
          assert.equal(it.status, 0, inShort(it));
          for (const title of [/leaves nothing/, /does not hold/, /challenge 2/])
            assert.match(it.stdout, new RegExp(`^✔ .*${title.source}`, "m"), inShort(it));
        },
      ],
      "sudo gets what is shown of chapter 6": [
        `BY_HAND_CHAPTERS=06 node --import tsx --test --test-name-pattern='sudo gets' ${file("lib/test/more/sudo.test.ts")}`,
        (it) => {
          assert.equal(it.status, 0, inShort(it));
          assert.match(it.stdout, /^ +✔ 06-cgroup\.ts/m);
        },
      ],
      "without a controller, or a systemd to hand groups out, it is refused": [
        `${cgroup} --rootless`,
        isRefused(/systemd hands them out, but not here: /),
      ],
      "with version 1 it is refused": [
        `mount -t tmpfs none ${top}; ${cgroup}`,
        isRefused(/unified_cgroup_hierarchy=1/),
      ],
      "with read-only groups it is refused": [
        `mount --bind ${top} ${top}; mount -o remount,bind,ro ${top}; ${cgroup}`,
        isRefused(/container/),
      ],
      "with a real-time process in a group it is refused": [
        `mkdir ${top}/rt; chrt -f 10 sleep 1d & echo $! > ${top}/rt/cgroup.procs
         ${cgroup}; status=$?; kill $!; exit $status`,
        isRefused(/no real-time process/),
      ],
      // The last one: it hands controllers down.
      "in a container with its processes at the top it is refused": [
        `echo +cpu +memory +pids > ${top}/cgroup.subtree_control; mkdir ${top}/its; echo $$ > ${top}/its/cgroup.procs
         unshare --cgroup bash -c 'umount ${top}; mount -t cgroup2 none ${top}; exec "$@"' bash ${cgroup}`,
        isRefused(/--cgroupns=host/),
      ],
    },
  ],
  "root, beside Docker": [
    "",
    {
      "where that runs": [docker, (it) => assert.equal(it.status, 0, inShort(it))],
      "chapter 6's limits are Docker's": [
        `${cgroup} --rootfs docker:it`,
        (it) => assert.match(hasEqual(6)(it), /^ += +memory, processes, cpu/m),
      ],
      "chapter 11's container is Docker's in all rows": [
        `${container} --rootfs docker:it`,
        hasEqual(18),
      ],
      "runc and crun make the same as chapter 11's script, and a program in there sees Docker's": [
        `node --import tsx --test --test-name-pattern='a bundle|tell it from' ${file("lib/test/more/container.test.ts")}`,
        (it) => {
          assert.equal(it.status, 0, inShort(it));
          for (const title of [/✔.* same of a bundle/, /✔.* cannot tell it from/])
            assert.match(it.stdout, title);
        },
      ],
    },
  ],
  "a user with sudo": [
    "--sudo",
    {
      "tells chapter 6": [andLook(cgroup), leftNothing],
      "solves its challenges by their solutions": [
        andLook(`${cgroup} --challenge`),
        (it) => {
          assert.equal(it.stdout.match(/^Solved\.$/gm)?.length, 2, inShort(it));
          assert.equal(it.stdout.split("handed down: ")[1], "\n", inShort(it));
        },
      ],
    },
  ],
  "a user to whom systemd hands a group": [
    "--systemd",
    {
      "tells chapter 6": [
        andLook(`${cgroup} --rootless`),
        (it) => leftNothing(it, "cpu memory pids"),
      ],
    },
  ],
};

describe("in a kernel of its own", { skip, concurrency: 2 }, () => {
  for (const [who, [how, scenes]] of Object.entries(readers))
    test(
      `as ${who}`,
      { skip: /Docker/.test(who) && missingTools("dockerd", "busybox") },
      async (t) => {
        const told = await play(scenes, how);
        for (const [name, [, holds]] of Object.entries(scenes))
          await t.test(name, () => holds(told.get(name)!));
      },
    );
});
