/**
 * 01 · chroot: further challenges
 */
import { join } from "node:path";
import { identity } from "../../lib/kernel.ts";
import type { Challenge } from "../../lib/options/challenge.ts";
import type { Process, World } from "../../lib/options/world.ts";

const pivot: Challenge<Process> = {
  title: "Enter a new root with pivot_root",
  goal: `Give a process 'rootfs' as its / so that there is no way out: with 'pivot_root', in a mount
    namespace of its own, with /proc mounted and the old root unmounted. (pivot_root(8) is short.)`,
  needs: ["pivot_root"],
  async prepare({ rootfs }) {
    await rootfs("rootfs", "bash", "cat", "ls", "mount", "ps", "stat", "umount");
  },
  subjects: ({ processes, host }) =>
    processes.filter(
      ({ namespaces, root }) => namespaces.mnt !== host.namespaces.mnt || root !== host.root,
    ),
  nothing: "All of your processes are in the host's mount namespace, and have its /.",
  criteria: [
    {
      text: "a process has a mount namespace of its own",
      met: ({ namespaces }, { host }) =>
        namespaces.mnt !== host.namespaces.mnt || "Its mount namespace is the host's.",
    },
    {
      text: "its / is a mount, and not the host's",
      met({ root, mounts }, { host }) {
        if (root === host.root) return "Its / is the / of the host.";
        return (
          mounts.some(({ point }) => point === "/") ||
          "Its / is a directory in a mount, as chroot leaves it."
        );
      },
    },
    {
      text: "it has a /proc mounted",
      met: ({ mounts }) =>
        mounts.some(({ point, type }) => point === "/proc" && type === "proc") ||
        "Its mount table has no /proc.",
    },
    {
      text: "nothing of the old root is left in its mount table",
      met({ mounts }, { host }) {
        const old = host.mounts.filter(({ point }) => point === "/").map(({ what }) => what);
        const left = mounts.find(({ what }) => old.includes(what));
        return !left || `The old root is mounted on ${left.point}.`;
      },
    },
    {
      // As in the chapter, from a directory that is not below the process's own root: the judge's
      // /proc/PID/root. That takes no program inside.
      text: "the way out is closed: '..' of its / is its / again",
      met({ root, aboveRoot }, { host }) {
        if (root === host.root) return "It is still outside, with the host's /.";
        return root === aboveRoot || `The judge went up from its / and got out, to ${aboveRoot}.`;
      },
    },
  ],
  hints: [
    `Nothing you mount may reach the host: begin with unshare --mount, and stay in that shell.`,
    `pivot_root takes a new root and a directory below it for the old one. The new root must be a
    mount: 'mount --bind rootfs rootfs' makes one of a directory.`,
    `'cd rootfs; mkdir old; pivot_root . old'. Then mount /proc, and only then unmount /old: lazily
    ('umount --lazy'), because your own shell still has files of it open.`,
  ],
  async solution({ say, enter }) {
    say`--bind mounts a directory in a second place, here on itself. 'pivot_root' makes that mount
      the /, and puts the old one on 'old'. Mount /proc, and let go of the old root.`;
    await enter({
      changes: "nothing outside of a new mount namespace, except for a directory 'rootfs/old'",
      undo: "by the kernel, when the shell ends",
    })`
      sudo unshare --mount bash
      mount --bind rootfs rootfs; cd rootfs; mkdir -p old
      pivot_root . old; cd /
      mount -t proc proc /proc
      umount --lazy /old
      cat /proc/self/mountinfo
    `;
  },
  afterwards: `That is how runc, crun and systemd-nspawn change the root. chroot leaves the old root
    mounted, and only moves the place where paths begin; after pivot_root there is nothing above it.
    (One door is left: without a pid namespace, /proc/PID/root leads to the / of any other process. And what
    cannot be told from here: 'mount --move . /' and a chroot look the same, and leave the old / below.)`,
};

const escape: Challenge<Process> = {
  title: "Escape from a chroot, as its root",
  goal: `Go in with 'sudo chroot rootfs bash'. This time your working directory is inside, so '..' is
    no way out. Get out all the same, from inside: to a shell whose working directory is the host's /.`,
  async prepare({ rootfs }) {
    const programs = ["bash", "cat", "chroot", "cp", "ls", "mkdir", "mount", "ps", "stat"];
    await rootfs("rootfs", ...programs, "umount", "unshare");
  },
  subjects: (world) => world.processes.filter((process) => wasIn("rootfs", process, world)),
  nothing: "None of your processes has 'rootfs' as its /, or ever had.",
  criteria: [
    {
      text: "a process has 'rootfs' as its /, or descends from one that has",
      met: () => true,
    },
    {
      text: "it went in by 'chroot', and not with a directory outside, as in the chapter",
      met(process, world) {
        const isInside = (each?: Process) => each !== undefined && each.root !== world.host.root;
        const entered = ancestors(process, world).some(
          ({ args }, at, all) =>
            !(isInside(all[at]) && isInside(all[at + 1])) &&
            args.some((each) => /(^|\/)(nsenter|unshare)$/.test(each)),
        );
        return !entered || "It went in by 'nsenter' or 'unshare'.";
      },
    },
    {
      text: "its working directory is the host's /, or its own / is",
      met({ places, directory, directoryIdentity, root }, { host }) {
        const out =
          (directory === "/" && directoryIdentity === host.root) ||
          (places[1] === "/" && root === host.root);
        return out || `Its working directory is ${directory}.`;
      },
    },
  ],
  hints: [
    `A process can go up until it meets its own /. So be where you do not meet it.`,
    `chroot(2) moves / and nothing else. If you move your / further down, and stay where you are, then
    you are outside of it. 'unshare --root' does that, if '--wd=.' makes it stay.`,
    `The directory further down needs a 'bash' to start, with its libraries. Inside you have 'cp'.`,
  ],
  async solution({ say, enter }) {
    say`Make a second root inside the first one, out of what is there. ('*' leaves out what begins
      with a dot.) 'unshare' makes it the /, and with '--wd=.' stays outside of it. Then walk. 'bash
      -v' shows what it reads.`;
    await enter({
      changes: "nothing, but this root shell gets out of 'rootfs': type with care",
    })`
      sudo chroot rootfs bash
      mkdir .new; cp -r * .new
      unshare --root=.new --wd=. bash -v
      until [ . -ef .. ]; do cd -P ..; done; ls
    `;
  },
  afterwards: `A process has one /, and '..' stops there and nowhere else. Whoever may call chroot can
    move it out of the way. pivot_root puts an end to this: above the new root there is no mount left,
    so the walk ends there, wherever your own / is. That is why Docker can leave its containers the
    capability to chroot (CAP_SYS_CHROOT). The one to mount (CAP_SYS_ADMIN) it takes away.`,
};

/** A process, and those of the reader's that it descends from. */
function ancestors(process: Process, world: World): Process[] {
  const parent = world.processes.find(({ pid }) => pid === process.parent);
  return [process, ...(parent ? ancestors(parent, world) : [])];
}

/** Whether a directory here is or was the / of a process, or of one that it descends from. */
const wasIn = (rootfs: string, process: Process, world: World) =>
  ancestors(process, world).some(({ roots }) => roots.has(identity(join(world.directory, rootfs))));

export const challenges: Challenge[] = [pivot, escape];
