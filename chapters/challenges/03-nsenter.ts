/**
 * 03 · nsenter: further challenges
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Challenge } from "../../lib/options/challenge.ts";
import type { Process, World } from "../../lib/options/world.ts";
import type { Verbs } from "../../lib/verbs.ts";

/** Starts the chapter's container; PID is its process. */
async function startContainer({ say, $, rootfs }: Verbs, ...programs: string[]) {
  await rootfs("rootfs", ...programs);
  say`The chapter's container, which sleeps; and PID, the process inside.`;
  await $({
    changes: "a process that sleeps in namespaces of its own, with 'rootfs' as its /",
    undo: "by 'kill', when the challenge ends",
  })`STARTED=$(sudo bash -c 'setsid unshare --mount --uts --ipc --net --pid --fork --kill-child --mount-proc --root rootfs sleep 1d &> container.log & echo $!')`;
  await $({
    changes: "nothing, it only looks",
  })`PID=$(sudo timeout 15 bash -c "until pgrep -P $STARTED sleep; do sleep .1; done") || ! cat container.log; echo $PID`;
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
    await startContainer(verbs, "bash", "cat", "hostname", "ls", "ps", "sleep");
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
    `'nsenter' joins those that it is given a flag for: --mount --uts --ipc --net --pid. With --all it
    joins them all.`,
    `Leave out --pid, say, and take --root and --wd for the container's files. Which processes does
    'ps' find, and is it one of them?`,
  ],
  async solution({ say, $, enter }) {
    say`All but --pid. /proc is the container's, and the shell is not in it: 'ps' finds 'sleep' and
      not itself, and /proc/self leads nowhere.`;
    await enter({
      changes: "a root shell in four of the container's namespaces",
      undo: "it goes when the shell ends",
    })`
      sudo nsenter --target "$PID" --mount --uts --ipc --net --root --wd bash
      ps -ef
      ls /proc/self/
      hostname
    `;
    await $({ changes: "the container ends" })`sudo kill -9 "$PID"`;
  },
  afterwards: `Namespaces can be combined freely. A Kubernetes pod is just that: its containers share
    the net, ipc and uts namespaces, and each has a mount namespace of its own. 'docker run
    --pid=container:NAME' or '--network=container:NAME' shares one on demand.`,
};

const hostsTool: Challenge<Process> = {
  title: "Run a tool in a container that does not have it",
  goal: `The container that sleeps as process $PID has no shell, no 'ls', nothing but 'sleep'. Look at
    its network interfaces with the host's 'ip'. (A tool that ends at once is gone before anyone can
    look: stay inside, with a shell or with 'ip monitor'.)`,
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
        "Its net namespace is a different one.",
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
    `Network interfaces belong to the net namespace, files to the mount namespace. You want the
    container's interfaces, and a program from among the host's files.`,
    `With the flag for the net namespace alone, 'nsenter' joins that and leaves you the host's files.`,
  ],
  async solution({ say, $, enter }) {
    say`Join the net namespace alone: you have all programs of the host, and they see the
      container's network.`;
    await enter({
      changes: "a root shell in the container's net namespace",
      undo: "it goes when the shell ends",
    })`
      sudo nsenter --target "$PID" --net bash
      ip address show
    `;
    await $({ changes: "the container ends" })`sudo kill -9 "$PID"`;
  },
  afterwards: `That is how to find out why a container without a shell has no network. 'kubectl debug'
    does much the same: it adds a container with tools to a pod, and that shares the pod's network.`,
};

export const challenges: Challenge[] = [allButOne, hostsTool];
