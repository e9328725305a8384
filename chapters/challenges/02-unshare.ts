/**
 * 02 · unshare: further challenges
 */
import type { Challenge } from "../../lib/options/challenge.ts";
import type { Process, World } from "../../lib/options/world.ts";

const withoutFlags: Challenge<Process> = {
  title: "The same container without --fork, --mount-proc and --root",
  goal: `'unshare' did three things for you that aren't namespaces. Do them yourself: start it without
    --fork, --mount-proc and --root, and still end with a shell that is process 1, with 'rootfs' as
    its / and a /proc of its own.`,
  async prepare({ rootfs }) {
    await rootfs("rootfs", "bash", "cat", "ls", "mount", "ps", "umount");
  },
  subjects: ({ processes, host }) =>
    processes.filter(
      ({ namespaces, root }) => namespaces.pid !== host.namespaces.pid || root !== host.root,
    ),
  nothing: `All of your processes are in the host's pid namespace, and have its /.`,
  criteria: [
    {
      text: "a process is number 1 of a new pid namespace",
      met: ({ numbers, namespaces }, { host }) =>
        namespaces.pid === host.namespaces.pid
          ? "Its pid namespace is the host's."
          : numbers.at(-1) === 1 || `In its pid namespace it is number ${numbers.at(-1)}.`,
    },
    {
      text: "its / is not the host's",
      met: ({ root }, { host }) => root !== host.root || "Its / is the / of the host.",
    },
    {
      text: "its mounts are its own, and so is its /proc, which shows it as process 1",
      met({ namespaces, procShows }, { host }) {
        if (namespaces.mnt === host.namespaces.mnt)
          return "Its mount namespace is the host's, and so are all its mounts.";
        if (!procShows) return "There is nothing mounted on its /proc.";
        return (
          (procShows === namespaces.pid && procShows !== host.namespaces.pid) ||
          "Its /proc shows another pid namespace, and not a new one of its own."
        );
      },
    },
    {
      text: "no 'unshare' above it was given one of the three flags",
      met(process, world) {
        const given = [...new Set(above(process, world).flatMap(flagsOfUnshare))];
        return given.length === 0 || `'unshare' was given ${given.join(", ")}.`;
      },
    },
  ],
  hints: [
    `Without --fork, 'unshare' becomes the program that you name, and that stays in the old pid
    namespace. Who comes first in the new one?`,
    `Its first child does. That must become your container, so nothing else may be started before it:
    not 'mount', and nothing from a start-up file ('bash --norc' reads none).`,
    `Have 'unshare' become a 'bash' that starts 'chroot rootfs bash'. Mount /proc in that one, with the
    'mount' that is in 'rootfs'.`,
  ],
  async solution({ say, enter }) {
    say`'unshare' becomes the outer 'bash'. That has something left to do after 'chroot', so it
      forks: its child is process 1, and changes its /. (--norc is there because a start-up file
      might run something before that.) Inside, mount /proc.`;
    await enter({
      changes: "a root shell in four new namespaces, with 'rootfs' as its / and a /proc of its own",
      undo: "by the kernel, when the shell ends",
    })`
      sudo unshare --pid --mount --uts --net bash --norc -c 'chroot rootfs bash; exit'
      mount -t proc proc /proc
      ps -ef
    `;
  },
  afterwards: `The three flags are a fork, a chroot and a mount, in that order. Runtimes do the same
    by hand. runc forks twice: the child makes the namespaces, and its child is process 1 in them. That
    one mounts /proc below the new root, changes /, and becomes the program of the container.`,
};

const theOtherThree: Challenge<Process> = {
  title: "Isolate users, cgroups and clocks, too",
  goal: `The chapter's container shared three namespaces with the host: user, cgroup and time. Start
    a process that has one of each to itself, and shows it: ids that are mapped, a /proc/self/cgroup
    that reads /, and an uptime that is not the host's.`,
  async prepare({ $ }) {
    await $`cat /proc/self/uid_map /proc/self/cgroup /proc/uptime`;
  },
  subjects: ({ processes, host }) =>
    processes.filter(({ namespaces }) =>
      ["user", "cgroup", "time", "time_for_children"].some(
        (type) => namespaces[type] !== host.namespaces[type],
      ),
    ),
  nothing: `All of your processes are in the host's user, cgroup and time namespaces.`,
  criteria: [
    {
      text: "a process is in a user namespace of its own, and its ids are mapped",
      met({ namespaces, uidMap }, { host }) {
        if (namespaces.user === host.namespaces.user) return "Its user namespace is the host's.";
        return (
          uidMap !== "" ||
          "Its uid_map is empty: to itself it is user 65534, whom 'id' calls nobody."
        );
      },
    },
    {
      text: "it has a cgroup namespace of its own, in which /proc/self/cgroup reads /",
      met(process, { host, cgroups }) {
        if (process.namespaces.cgroup === host.namespaces.cgroup)
          return "Its cgroup namespace is the host's.";
        const read = cgroups(process).trim();
        return read.split("\n").every((line) => line.endsWith(":/")) || `It reads ${read}`;
      },
    },
    {
      text: "it has a time namespace of its own, with another uptime",
      met({ namespaces, timeOffsets }, { host }) {
        if (namespaces.time === host.namespaces.time)
          return namespaces.time_for_children === host.namespaces.time
            ? "Its time namespace is the host's."
            : "It has made one for its children, and is itself still in the host's.";
        return (
          /^boottime +-?[1-9]/m.test(timeOffsets) ||
          "The boottime in its timens_offsets is 0, so its uptime is the host's."
        );
      },
    },
  ],
  hints: [
    `'unshare' has a flag for each of the three: see unshare(1).`,
    `A user namespace has no ids at first: someone must write its id map. --map-root-user does.`,
    `A clock must be set before anyone lives by it: --boottime says by how many seconds. As with
    --pid, only a child (--fork) is sure to be in the new namespace.`,
  ],
  async solution({ say, enter }) {
    say`One flag for each namespace, a map that makes you root inside, and a million seconds (eleven
      days) on top of the uptime, which is the first number in /proc/uptime.`;
    await enter({ changes: "nothing, it only looks" })`
      sudo unshare --user --map-root-user --cgroup --time --boottime 1000000 --fork bash
      cat /proc/self/uid_map
      cat /proc/self/cgroup
      cat /proc/uptime
    `;
  },
  afterwards: `A user namespace can make the container's root an ordinary user of the host: rootless
    Podman does so, and Docker with userns-remap. (Yours is whoever started 'unshare': with 'sudo', root
    again.) The cgroup namespace hides where in the host's tree a container hangs; where cgroups are of
    version 2, Docker makes one by default. Time namespaces are for moving a running container to
    another machine, whose uptime differs.`,
};

/** A process, and those of the new ones that it descends from. */
function above(process: Process, { processes }: World): Process[] {
  const parent = processes.find(({ pid }) => pid === process.parent);
  return [process, ...(parent ? above(parent, { processes } as World) : [])];
}

/** Those of the three flags, or what implies them, that a process gives to unshare. */
function flagsOfUnshare({ program, args }: Process): string[] {
  const name = args.findIndex((each) => /(^|\/)unshare$/.test(each));
  if (name < 0 && !/\/unshare$/.test(program)) return [];
  const takesValue =
    /^(--(boottime|monotonic|propagation|setgroups|setuid|setgid|wd|map-\w+)|-[SGw])$/;
  const words = args.slice(Math.max(name, 0) + 1);
  const end = words.findIndex(
    (word, index) => !word.startsWith("-") && !takesValue.test(words[index - 1] ?? ""),
  );
  return words
    .slice(0, end)
    .filter((word) => /^(--(fork|kill-child|mount-proc|root)|-\w*[fR])/.test(word));
}

export const challenges: Challenge[] = [withoutFlags, theOtherThree];
