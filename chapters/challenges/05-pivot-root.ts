/**
 * 05 · pivot-root: further challenges
 */
import { join } from "node:path";
import type { Challenge } from "../../lib/options/challenge.ts";
import type { Mounted, Process, World } from "../../lib/options/world.ts";

/** The mounts of a process that show the chapter's directory 'volume', or something below it. */
const volumes = ({ mounts }: Process, { directory }: World) =>
  mounts.filter(({ what }) => what.endsWith(`${directory.split("/").at(-1)}/volume`));

/** Such a mount on a directory of the name 'data'. */
const dataOf = (process: Process, world: World) =>
  volumes(process, world).find(({ point }) => point.endsWith("/data"));

/** How the mount on 'volume' is shared here: `shared:4`. */
const sharedAs = ({ host, directory }: World) =>
  host.mounts
    .findLast(({ point }) => point === join(directory, "volume"))
    ?.tags.find((tag) => tag.startsWith("shared:"));

const slave: Challenge<Process> = {
  title: "A volume that is a slave: rslave, by hand",
  goal: `Here 'volume' is a shared mount. Start a process in a mount namespace of its own that has it on
    'data', too: so that whatever is mounted in 'volume' later arrives in 'data', and nothing that is
    mounted in 'data' comes back. Then prove it: mount something on 'volume/usb', from outside.`,
  async prepare({ $ }) {
    await $`mkdir -p volume/usb data`;
    await $({
      changes: "'volume' becomes a mount, and shared",
      undo: "by 'umount', when the challenge ends",
    })`sudo mount --bind volume volume; sudo mount --make-private volume; sudo mount --make-shared volume; grep -o "/volume rw.* -" /proc/self/mountinfo`;
  },
  subjects: ({ processes, host }) =>
    processes.filter(({ namespaces }) => namespaces.mnt !== host.namespaces.mnt),
  nothing: "All of your processes are in the host's mount namespace.",
  criteria: [
    {
      text: "a process in a mount namespace of its own has 'volume' on 'data'",
      met: (process, world) =>
        dataOf(process, world) !== undefined || "Nothing of 'volume' is mounted on its 'data'.",
    },
    {
      text: "what is mounted in 'volume' later arrives there",
      met(process, world) {
        const master = sharedAs(world)?.replace("shared", "master");
        const { tags = [] } = dataOf(process, world) ?? {};
        if (master && tags.includes(master)) return true;
        return `Its 'data' is ${tags.join(" ") || "private"}, and 'volume' is ${sharedAs(world) ?? "not shared"}.`;
      },
    },
    {
      text: "what is mounted there does not come out",
      met(process, world) {
        const data = dataOf(process, world);
        if (!data) return "It has no such mount.";
        return !data.tags.includes(sharedAs(world) ?? "") || `Both are ${sharedAs(world)}.`;
      },
    },
    {
      text: "something that is mounted on 'volume/usb' here has arrived on its 'data/usb'",
      met(process, { host, directory }) {
        const on = (mounts: Mounted[], place: string) =>
          mounts.findLast(({ point }) => point.endsWith(place))?.what;
        const here = on(host.mounts, join(directory, "volume/usb"));
        if (!here) return "Nothing is mounted on 'volume/usb' here.";
        return on(process.mounts, "/data/usb") === here || "It has not arrived.";
      },
    },
  ],
  hints: [
    `A mount namespace begins with a copy of every mount. What the copies are is decided then: by
    default 'unshare' makes all of them private. Which other words does --propagation take?`,
    `A bind mount of a slave is a slave of the same master.`,
    `'sudo unshare --mount --propagation slave bash', and in there 'mount --bind volume data'. From
    another terminal mount a tmpfs; or from in there, by 'nsenter --target $PPID
    --mount mount …', with the full path of 'volume/usb': that starts in /.`,
  ],
  async solution({ say, $, enter }) {
    say`--propagation makes every copy a slave, and so is what is bound of one. 'nsenter' goes to the
      mount namespace of whoever started this shell, and mounts a stick there.`;
    await enter({
      changes: "'volume/usb' becomes a mount; the rest is in a mount namespace of its own",
      undo: "by 'umount', further down",
    })`
      sudo unshare --mount --propagation slave bash
      mount --bind volume data
      nsenter --target $PPID --mount mount -t tmpfs stick "$PWD/volume/usb"
      grep -oE "/(volume|data)(/usb)? rw.* -" /proc/self/mountinfo
    `;
    await $({ changes: "'volume' is a directory again" })`sudo umount --recursive volume`;
  },
  afterwards: `That is 'docker run -v /media:/media:rslave', and mountPropagation: HostToContainer in
    Kubernetes. Bidirectional is the shared one: it is for containers that mount something for the
    machine, and asks for privileges.`,
};

const readOnly: Challenge<Process> = {
  title: "A read-only / with two writable places",
  goal: `Give a process 'rootfs' as its /, with a /proc, and with nothing of the old one left, so that it can
    write to two places only: to /tmp, which is in memory, and to /data, which is 'volume'.`,
  needs: ["pivot_root"],
  async prepare({ $, rootfs }) {
    const programs = ["cat", "ls", "mkdir", "mount", "ps", "stat", "touch", "umount"];
    await rootfs("rootfs", "bash", ...programs);
    await $`mkdir -p rootfs/tmp rootfs/data volume`;
  },
  subjects: ({ processes, host }) =>
    processes.filter(
      ({ namespaces, root }) => namespaces.mnt !== host.namespaces.mnt || root !== host.root,
    ),
  nothing: "All of your processes are in the host's mount namespace, and have its /.",
  criteria: [
    {
      text: "a process in a mount namespace of its own has another /, and that is a mount",
      met({ namespaces, root, mounts }, { host }) {
        if (namespaces.mnt === host.namespaces.mnt) return "Its mount namespace is the host's.";
        if (root === host.root) return "Its / is the / of the host.";
        return mounts.some(({ point }) => point === "/") || "Its / is a directory in a mount.";
      },
    },
    {
      text: "its / is read-only",
      met: ({ mounts }) =>
        mounts.findLast(({ point }) => point === "/")?.readOnly || "It can write to its /.",
    },
    {
      text: "its /tmp is in memory, and it can write to it",
      met({ mounts }) {
        const tmp = mounts.findLast(({ point }) => point === "/tmp");
        if (tmp?.type !== "tmpfs") return "No tmpfs is mounted on its /tmp.";
        return !tmp.readOnly || "Its /tmp is read-only.";
      },
    },
    {
      text: "its /data is 'volume', and it can write to it",
      met(process, world) {
        const data = volumes(process, world).findLast(({ point }) => point === "/data");
        if (!data) return "'volume' is not mounted on its /data.";
        return !data.readOnly || "Its /data is read-only.";
      },
    },
    {
      text: "nothing else in its mount table can be written to, but for /proc",
      met({ mounts }) {
        const places = ["/", "/tmp", "/data", "/proc"];
        const left = mounts.find(({ point, readOnly }) => !readOnly && !places.includes(point));
        return !left || `It can write to ${left.point}.`;
      },
    },
    {
      text: "it has a /proc, and no way out: by '..' of its /, or by /proc/PID/root",
      met({ mounts, root, aboveRoot, namespaces, procShows }, { host }) {
        if (!mounts.some(({ point, type }) => point === "/proc" && type === "proc"))
          return "Its mount table has no /proc.";
        if (root !== aboveRoot) return "The judge went up from its / and got out.";
        const isOwn = procShows === namespaces.pid && procShows !== host.namespaces.pid;
        return isOwn || "Its /proc shows processes outside, each with its /.";
      },
    },
  ],
  hints: [
    `Whatever is mounted below 'rootfs' before pivot_root comes along. So first 'rootfs' itself
    (--bind), then the two places, then go.`,
    `A mount can be read-only while its file system is not: 'mount -o remount,bind,ro'. Without the word
    'bind' it would be the whole file system, for everyone.`,
    `It concerns one mount, and not those below it. So /tmp and /data stay as they are.`,
    `A /proc shows the processes of one pid namespace: 'unshare --mount --pid --fork' makes another.`,
  ],
  async solution({ say, enter }) {
    say`Mount everything below the new / first. Then 'pivot_root' as in the chapter; and at last make the
      one mount on / read-only.`;
    await enter({
      changes: "nothing outside of new namespaces, except for a file 'volume/new'",
      undo: "by the kernel, when the shell ends",
    })`
      sudo unshare --mount --pid --fork bash
      mount --bind rootfs rootfs; mount --bind volume rootfs/data; mount -t tmpfs tmpfs rootfs/tmp
      cd rootfs; pivot_root . .
      mount -t proc proc /proc; umount -l .
      mount -o remount,bind,ro /
      touch /new /tmp/new /data/new
      ls -l /tmp /data
    `;
  },
  afterwards: `That is 'docker run --read-only --tmpfs /tmp -v ./volume:/data', or readOnlyRootFilesystem
    in Kubernetes. An attacker cannot leave a program in such a container, but for those two places.
    (Docker mounts the first with noexec; the volume is left to you. Here root could undo it, by one more
    remount. Docker takes away
    the capability to.)`,
};

export const challenges: Challenge[] = [slave, readOnly];
