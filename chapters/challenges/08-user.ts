/**
 * 08 · user: further challenges
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { quote } from "zx/core";
import { read, stat } from "../../lib/kernel.ts";
import type { Challenge } from "../../lib/options/challenge.ts";
import type { Process, World } from "../../lib/options/world.ts";
import type { Verbs } from "../../lib/verbs.ts";

/** A process that sleeps in a user namespace of its own; a bash there has told its number. */
const sleeps = `read -r PID < <(unshare --user bash -c 'echo $$; exec sleep 1d &> /dev/null')`;

/** Starts one whose 0 is 100000 outside, and lets it look for names in the chapter's directory. */
async function makeStranger({ $ }: Pick<Verbs, "$">) {
  await $`${sleeps}; chmod 711 .`;
  const maps = { changes: "its 0 is 100000 outside, and so on", undo: "when the challenge ends" };
  await $(maps)`echo 0 100000 65536 | sudo tee /proc/$PID/{uid,gid}_map`;
}

const elsewhere = ({ processes, host }: World) =>
  processes.filter(({ namespaces }) => namespaces.user !== host.namespaces.user);

/** You, as the number of your user. */
const you = () => process.getuid!();

/** A line of /proc/PID/status, as words. See proc_pid_status(5). */
const status = (pid: number, name: string): string[] =>
  new RegExp(`^${name}:(.*)`, "m").exec(read(`/proc/${pid}/status`))?.[1]?.match(/\w+/g) ?? [];

/** The user that a process acts as, outside. */
const userOf = ({ pid }: Process) => Number(status(pid, "Uid")[1]);

/** The lines of its map: the first number inside, the first outside, how many. */
const mapOf = ({ uidMap }: Process) =>
  uidMap.split("\n").map((line) => (line.match(/\d+/g) ?? []).map(Number));

/** Which number a user from outside has inside; undefined if none. */
function inside(process: Process, user: number): number | undefined {
  for (const [number = 0, first = 0, many = 0] of mapOf(process))
    if (user >= first && user < first + many) return number + user - first;
}

interface Found {
  name: string;
  user: number;
  mode: number;
  size: number;
}

/** The files in a directory, or none if it is not there. */
function filesIn(directory: string): Found[] {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return names.flatMap((name) => {
    const found = statSync(join(directory, name), { throwIfNoEntry: false });
    return found ? [{ name, user: found.uid, mode: found.mode, size: found.size }] : [];
  });
}

const nothing = "All of your processes are in the host's user namespace.";
const volume = ({ directory }: World) => join(directory, "volume");

// ── Two lines

const twoLines: Challenge<Process> = {
  title: "A root who is you, among users who are not: a map of two lines",
  goal: `This is the map of rootless Podman. Start a process in a user namespace in which root is you, and
    the users after it are 100000 and so on. Have its root make a file in 'volume', which is yours outside
    then; and another there that is 100001's.`,
  async prepare({ $ }) {
    await $`mkdir volume; id -u`;
  },
  subjects: elsewhere,
  nothing,
  criteria: [
    {
      text: "a process is in a user namespace of its own, whose map has two lines",
      met: (process) =>
        mapOf(process).length === 2 || `Its uid_map is: ${process.uidMap || "empty"}.`,
    },
    {
      text: "its root is you outside",
      met(process) {
        const number = inside(process, you());
        return number === 0 || `You are ${number ?? "nobody"} in there.`;
      },
    },
    {
      text: "it has a number for 100001, too",
      met: (process) => inside(process, 100001) !== undefined || "It has none.",
    },
    {
      text: "a file in 'volume' is its root's",
      met: (process, world) =>
        filesIn(volume(world)).some(({ user }) => inside(process, user) === 0) || "None is.",
    },
    {
      text: "another one there is 100001's outside",
      met(_, world) {
        const owners = filesIn(volume(world)).map(({ user }) => user);
        return owners.includes(100001) || `They are: ${owners.join(", ") || "none"}.`;
      },
    },
  ],
  hints: [
    `Who maps more than themselves must be root: 'sudo tee', from outside. And a map is written in one
    write; but 'printf' writes line by line, and 'tee' passes on what it has by then. So give it all at
    once: '<<< "$LINES"'.`,
    `The first line is you, and one number long. The second begins inside where the first ends: at 1.
    That is 100000. So who is 100001?`,
    `'gid_map' takes two lines, too. Then join by 'nsenter --target $PID --user bash', and there 'chown 2'
    one of two files.`,
  ],
  async solution({ say, $, enter }) {
    say`A process to map, and a map of two lines: the same for users and for groups.`;
    await $`${sleeps}`;
    const maps = { changes: "its 0 is you outside, its 1 is 100000", undo: "when it ends" };
    await $`printf -v UIDS '0 %s 1\n1 100000 65535' $(id -u); printf -v GIDS '0 %s 1\n1 100000 65535' $(id -g)`;
    await $(maps)`sudo tee /proc/$PID/uid_map <<< "$UIDS"; sudo tee /proc/$PID/gid_map <<< "$GIDS"`;
    await enter`
      nsenter --target $PID --user bash
      touch volume/root volume/two; chown 2 volume/two
      ls -ln volume
    `;
    await $`ls -ln volume; kill $PID`;
  },
  afterwards: `An engine without root has 'newuidmap' write it, from your line in /etc/subuid: ask it by 'podman
    unshare cat /proc/self/uid_map'. So what your containers' root writes is yours, and what their other
    users write is not: to remove that, be root in such a namespace ('podman unshare rm').`,
};

// ── A volume

/** The mount of 'volume' on a directory 'data'. */
const dataOf = ({ mounts }: Process, { directory }: World) =>
  mounts.find(
    ({ what, point }) =>
      what.endsWith(`${directory.split("/").at(-1)}/volume`) && /\/data$/.test(point),
  );

/** The user whose a file is as a process sees it, who may be another by a mount with a map. */
function ownerFor({ pid }: Process, point: string, { name, user }: Found): number {
  try {
    return statSync(join(`/proc/${pid}/root`, point, name)).uid;
  } catch {
    return user;
  }
}

/** The files in 'volume' that are a process's root's. */
const ofRoot = (process: Process, world: World) =>
  filesIn(volume(world)).filter((file) => {
    const point = dataOf(process, world)?.point;
    return point && inside(process, ownerFor(process, point, file)) === 0;
  });

const keepsYours: Challenge<Process> = {
  title: "A volume that root inside may write to, and that stays yours",
  goal: `'volume' is yours, and the root of process $PID is 100000, who may not write there. Start a process, in
    that namespace or in another, that has 'volume' on a directory 'data', and whose root makes a file in it.
    The file, and 'volume', must
    be yours outside, and nobody else may write to them.`,
  async prepare(verbs) {
    await makeStranger(verbs);
    await verbs.$`mkdir -m 755 volume data`;
    await verbs.$({ nothrow: true })`nsenter --target $PID --user touch volume/file`;
  },
  subjects: elsewhere,
  nothing,
  criteria: [
    {
      text: "a process is root in a user namespace of its own",
      met(process) {
        const number = inside(process, userOf(process));
        return number === 0 || `It is ${number ?? "nobody"} in there.`;
      },
    },
    {
      text: "its 'data' is 'volume'",
      met: (process, world) =>
        dataOf(process, world) !== undefined || "'volume' is not mounted on its 'data'.",
    },
    {
      text: "a file in it is root's, as that process sees it",
      met(process, world) {
        if (ofRoot(process, world).length > 0) return true;
        const count = filesIn(volume(world)).length;
        return count > 0 ? "There are files, but none of them is root's there." : "It is empty.";
      },
    },
    {
      text: "outside, that file is yours, and so is 'volume'",
      met(process, world) {
        const owner = statSync(volume(world), { throwIfNoEntry: false })?.uid;
        if (owner !== you()) return `'volume' belongs to ${owner ?? "nobody: it is gone"}.`;
        const files = ofRoot(process, world);
        if (files.some(({ user }) => user === you())) return true;
        return `It is ${files.map(({ user }) => `${user}'s`).join(", ") || "not there"}.`;
      },
    },
    {
      text: "others may not write to either",
      met(_, world) {
        const here = filesIn(world.directory).filter(({ name }) => name === "volume");
        const open = [...here, ...filesIn(volume(world))].find(({ mode }) => mode & 0o002);
        return !open || `Everyone may write to '${open.name}'.`;
      },
    },
  ],
  hints: [
    `Who writes is known by the number outside. So which number must root have there, to make files that are
    yours?`,
    `Yours. The chapter's container without 'sudo' had such a root. In its mount namespace it may mount, too.`,
    `'unshare --user --map-root-user --mount bash', and in there 'mount --bind volume data'.`,
  ],
  async solution({ say, $, enter }) {
    say`Root in there is to be you. A user and a mount namespace are enough to show it.`;
    await enter`
      unshare --user --map-root-user --mount bash
      mount --bind volume data
      touch data/by-root
      ls -ln data
    `;
    await $`ls -ln volume; kill $PID`;
  },
  afterwards: `So a volume of rootless Podman's is written to by root inside as by you. An image's other users
    are strangers there, unless you choose another map: '--userns=keep-id' makes you somebody other than root.
    Where root is a stranger for good reasons, a mount can have a map of its own, and change the numbers on
    their way: 'X-mount.idmap' in mount(8), which is how 'hostUsers: false' has volumes.`,
};

// ── A signal

/** Every capability that the kernel knows, as CapEff has it. */
const every = () =>
  (2 ** (Number(read("/proc/sys/kernel/cap_last_cap")) + 1) - 1).toString(16).padStart(16, "0");

const noSignal: Challenge<Process> = {
  title: "All of root's rights, and yet no right to kill",
  goal: `Process $VICTIM is yours. Start a process with all capabilities, in a user namespace, that cannot kill
    it. Let that try (TERM will do), and send its complaint to a file in 'proof'.`,
  async prepare({ $ }) {
    await $`bash -c 'trap "touch hit" TERM; sleep 1d & until wait; do :; done' &> /dev/null & export VICTIM=$!; echo $VICTIM`;
    await $`chmod 711 .; mkdir -m 777 proof`;
  },
  remember: "echo $VICTIM",
  subjects: elsewhere,
  nothing,
  criteria: [
    {
      text: "a process has all capabilities, in a user namespace of its own",
      met({ pid }) {
        const [has] = status(pid, "CapEff");
        return has === every() || `Its CapEff is ${has}.`;
      },
    },
    {
      text: "it may not send signals to it, since outside it is somebody else",
      met({ pid }, { memory }) {
        // Without CAP_KILL there: kill(2).
        const [real, effective] = status(pid, "Uid");
        const [target, , saved] = status(Number(memory), "Uid");
        return (
          ![target, saved].some((user) => user === real || user === effective) ||
          `Outside it is user ${effective}, like your process, so it may.`
        );
      },
    },
    {
      text: "it has tried: a file in 'proof' is its user's, and names your process",
      met(process, { directory, memory, read }) {
        const user = userOf(process);
        const files = filesIn(join(directory, "proof")).filter(({ size }) => size > 0);
        const own = files.filter((file) => file.user === user);
        const says = own.map(({ name }) => read(`cat proof/${quote(name)}`)).join("\n");
        if (own.length > 0) return says.includes(memory.trim()) || "It does not name your process.";
        const others = files.map((file) => `${file.user}'s`).join(", ");
        return `Its user is ${user}, and there is ${others ? `one of ${others}` : "none"}.`;
      },
    },
    {
      text: "yours runs, and no signal has reached it",
      met(_, { memory, directory }) {
        const state = stat(Number(memory))?.state ?? "Z";
        if (state === "Z") return "It has ended. Take the challenge once more.";
        return !existsSync(join(directory, "hit")) || "TERM has: it has made a file 'hit'.";
      },
    },
  ],
  hints: [
    `What would happen with --map-root-user? (It would get the signal: that root is you, and you may kill
    what is yours. Remove 'hit', if you have tried.)`,
    `So it must be another user outside, such as 100000, by a map that 'sudo' writes. Then 'nsenter'
    makes you its root.`,
    `'echo 0 100000 65536 | sudo tee /proc/$PID/{uid,gid}_map', then 'nsenter --target $PID --user bash
    --norc', and in there 'kill $VICTIM 2> proof/refused'.`,
  ],
  async solution(verbs) {
    const { say, $, enter } = verbs;
    say`A root that is 100000 outside, who has all capabilities in its namespace. Yours was not made in there.`;
    await makeStranger(verbs);
    await enter`
      nsenter --target $PID --user bash --norc
      grep CapEff /proc/self/status
      kill $VICTIM 2> proof/refused; cat proof/refused
    `;
    await $`grep State /proc/$VICTIM/status; kill $PID $(pgrep -P $VICTIM)`;
  },
  afterwards: `Whom a process may send a signal is asked of the target: is it the same user, or has the sender
    CAP_KILL in the target's user namespace? Root of a container has it in its own. So who breaks out of one
    with a range of its own is a user whom nobody knows, and who owns nothing.`,
};

export const challenges: Challenge[] = [twoLines, keepsYours, noSignal];
