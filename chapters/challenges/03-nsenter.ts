/**
 * 03 · nsenter: further challenges
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Verbs } from "../../lib/chapter.ts";
import type { Challenge } from "../../lib/options/challenge.ts";
import { hostPrograms } from "../../lib/rootfs.ts";
import type { Process, World } from "../../lib/options/world.ts";

/** Starts the chapter's container; PID is its process. */
async function startContainer({ say, $, rootfs }: Verbs, ...programs: string[]) {
  await rootfs("rootfs", hostPrograms(...programs));
  say`The chapter's container, which sleeps; and PID, the process in it.`;
  await $({
    changes: "a process that sleeps in namespaces of its own, with rootfs as its /",
    undo: "by kill, when the challenge ends",
  })`sudo unshare --mount --uts --ipc --net --pid --fork --kill-child --mount-proc --root rootfs sleep 1d &> container.log & STARTED=$!`;
  await $`PID=$STARTED; while [ -e /proc/$PID ] && ! grep -q sleep /proc/$PID/comm; do PID=$(pgrep -nP $PID || echo $STARTED); done; echo $PID`;
}

/** The container's own namespaces. What counts for pid is where a process's children are. */
const five: Record<string, string> = {
  mount: "mnt",
  uts: "uts",
  ipc: "ipc",
  net: "net",
  pid: "pid_for_children",
};

/** Which of the five a process shares with another one. */
function shared(one: Process, other: Process | undefined): string[] {
  return Object.keys(five).filter(
    (type) => one.namespaces[five[type]!] === other?.namespaces[five[type]!],
  );
}

/** The reader's processes that share at least one namespace with the container. */
const visitors = ({ processes, process, memory }: World) =>
  processes.filter((each) => shared(each, process(Number(memory))).length > 0);

const allButOne: Challenge<Process> = {
  title: "Join every namespace of a container but one",
  goal: `The container that sleeps as process $PID has five namespaces of its own. Join four, leave
    out one of your choice, and find out what that looks like from inside.`,
  async prepare(verbs) {
    await startContainer(...([verbs, "bash", "cat", "hostname", "ls", "ps", "sleep"] as const));
  },
  remember: "echo $PID",
  subjects: visitors,
  nothing: "No process of yours is in a namespace of the container.",
  criteria: [
    {
      text: "a process is in four of the container's five namespaces",
      met(process, world) {
        const joined = shared(process, world.process(Number(world.memory)));
        if (joined.length === 5) return "It is in all five.";
        return joined.length === 4 || `It is in ${joined.join(" and ")} only.`;
      },
    },
    {
      text: "what it has not joined is the host's",
      met(process, { host, ...world }) {
        const joined = shared(process, world.process(Number(world.memory)));
        const strange = Object.keys(five).filter(
          (type) => !joined.includes(type) && !shared(process, host).includes(type),
        );
        return (
          strange.length === 0 ||
          `Its ${strange.join(" and ")} is neither the container's nor the host's.`
        );
      },
    },
  ],
  hints: [
    `nsenter joins those that it has a flag for: --mount --uts --ipc --net --pid. With --all it joins
    them all.`,
    `Leave out --pid, say, with --root and --wd for the container's files. Which processes does ps
    find, and is it among them?`,
  ],
  async solution({ say, $, enter }) {
    say`All but --pid. The /proc in there is the container's, and the shell is not in it: ps finds
      the sleep and not itself, and /proc/self leads nowhere.`;
    await enter({
      changes: "a root shell in four of the container's namespaces",
      undo: "it goes when the shell ends",
    })`sudo nsenter --target "$PID" --mount --uts --ipc --net --root --wd bash`(
      `ps -ef`,
      `ls /proc/self/`,
      `hostname`,
    );
    await $({ changes: "the container ends" })`sudo kill -9 "$PID"`;
  },
  afterwards: `Namespaces can be combined freely. A Kubernetes pod is just that: its containers share
    net, ipc and uts, and each has a mount namespace of its own; docker run --pid=container:NAME or
    --network=container:NAME share one on demand.`,
};

const hostsTool: Challenge<Process> = {
  title: "Run a tool in a container that does not have it",
  goal: `The container that sleeps as process $PID has no shell, no ls, nothing but sleep. Look at its
    network interfaces, with the ip of the host. (A tool that ends at once is gone before anyone can
    look: stay in there, with a shell or with ip monitor.)`,
  needs: ["ip"],
  prepare: (verbs) => startContainer(verbs, "sleep"),
  remember: "echo $PID",
  subjects: visitors,
  nothing: "No process of yours is in a namespace of the container.",
  criteria: [
    {
      text: "a process is in the container's net namespace",
      met: (process, world) =>
        shared(process, world.process(Number(world.memory))).includes("net") ||
        "Its net namespace is another.",
    },
    {
      text: "and in no other namespace of the container",
      met(process, world) {
        const others = shared(process, world.process(Number(world.memory))).filter(
          (type) => type !== "net",
        );
        return others.length === 0 || `It is in ${others.join(" and ")}, as well.`;
      },
    },
    {
      text: "its / is the host's, and its program is one that the container lacks",
      met({ root, program }, { host, directory }) {
        if (root !== host.root) return "Its / is not the host's.";
        return (
          !existsSync(join(directory, "rootfs", program)) ||
          `It runs ${program}, which the container has.`
        );
      },
    },
  ],
  hints: [
    `Network interfaces are in the net namespace, programs in the mount namespace. You want one of
    each world.`,
    `nsenter with one flag for the net namespace joins that one, and leaves you the host's files.`,
  ],
  async solution({ say, $, enter }) {
    say`Join the net namespace alone: every program of the host's is there, and sees the container's
      network.`;
    await enter({
      changes: "a root shell in the container's net namespace",
      undo: "it goes when the shell ends",
    })`sudo nsenter --target "$PID" --net bash`(`ip address show`);
    await $({ changes: "the container ends" })`sudo kill -9 "$PID"`;
  },
  afterwards: `That is how to find out why a container without a shell has no network. kubectl debug
    does the same: it starts a second container, with tools, in the namespaces of the first.`,
};

export const challenges: Challenge[] = [allButOne, hostsTool];
