/**
 * 06 · cgroup: further challenges
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { read, stat } from "../../lib/kernel.ts";
import type { Challenge } from "../../lib/options/challenge.ts";
import type { World } from "../../lib/options/world.ts";
import type { Verbs } from "../../lib/verbs.ts";

/** Makes a group of 64 MB, for the reader to do with as they like. */
async function makeGroup({ say, $ }: Verbs) {
  say`Everything happens below a group that is yours, and is removed with all below it. It has 64 MB
    of memory, and hands the controller on.`;
  await $`CG=/sys/fs/cgroup/by-hand.\${WORK##*.}`;
  await $({
    changes: "a group of processes, with nobody in it",
    undo: "when the challenge ends",
    undoneBy: `sudo timeout 9 sh -c 'test ! -d $CG || echo 1 > $CG/cgroup.kill; while test -d $CG; do find $CG -type d -delete; sleep .1; done' 2> /dev/null`,
  })`sudo mkdir $CG`;
  await $`NEW=$(grep -qw memory /sys/fs/cgroup/cgroup.subtree_control || echo +memory)`;
  await $({
    changes: "the topmost groups get the controller for memory, if they lack it",
    undo: "when the challenge ends",
    undoneBy: "echo $NEW | tr + - | sudo tee /sys/fs/cgroup/cgroup.subtree_control || true",
  })`echo $NEW | sudo tee /sys/fs/cgroup/cgroup.subtree_control`;
  await $({
    changes: "that group",
    undo: "it is removed when the challenge ends",
  })`echo 64M | sudo tee $CG/memory.max; echo +memory | sudo tee $CG/cgroup.subtree_control`;
}

/** Tells the lines that remove that group, after a solution. */
async function removeGroup({ $ }: Verbs) {
  await $({
    changes: "the groups are gone, with all who are in them",
  })`echo 1 | sudo tee $CG/cgroup.kill; sleep 1; sudo rmdir $CG/*/ $CG; echo $NEW | tr + - | sudo tee /sys/fs/cgroup/cgroup.subtree_control || echo "Others use it now."`;
}

const groupOf = ({ directory }: World) => join("/sys/fs/cgroup", basename(directory));

/** The groups below a group, each after those below it. */
function groupsBelow(group: string): string[] {
  if (!existsSync(group)) return [];
  const below = readdirSync(group, { withFileTypes: true }).filter((each) => each.isDirectory());
  return below.flatMap(({ name }) => [...groupsBelow(join(group, name)), join(group, name)]);
}

const membersOf = (group: string) =>
  (read(join(group, "cgroup.procs")).match(/\d+/g) ?? []).map(Number);

// ── Pause

interface Loop {
  /** Tells it from a later process of the same pid. */
  identity: string;
  state: string;
  /** The group below the reader's that it is in, and who else is. */
  group?: string;
  others: number;
  frozen: boolean;
}

/** Who has been seen in a frozen group. */
const paused = new Set<string>();

function look(pid: number, world: World): Loop[] {
  const loop = stat(pid);
  if (!loop || loop.state === "Z") return [];
  const { identity, state } = loop;
  const group = groupsBelow(groupOf(world)).find((each) => membersOf(each).includes(pid));
  const frozen = group !== undefined && /^frozen 1$/m.test(read(join(group, "cgroup.events")));
  if (frozen) paused.add(identity);
  return [{ identity, state, group, others: group ? membersOf(group).length - 1 : 0, frozen }];
}

const pause: Challenge<Loop> = {
  title: "Pause a busy process, and let it go on",
  goal: `Process $PID is busy. Pause it, so that it takes no processor time for some seconds, and then let
    it go on. No signal is needed for that. And nobody else may be paused with it.`,
  async prepare(verbs) {
    await makeGroup(verbs);
    await verbs.$`nice bash -c 'ulimit -t 600; while :; do :; done' &> /dev/null & PID=$!; echo $PID`;
  },
  remember: "echo $PID",
  subjects: (world) => look(Number(world.memory), world),
  nothing: "The process has ended.",
  criteria: [
    {
      text: "the process is alone in a group below $CG",
      met({ group, others }) {
        if (!group) return "It is in none.";
        return others === 0 || `It is in ${group}, and is not alone there: ${others} more.`;
      },
    },
    {
      text: "it was paused there: 'frozen 1', says the group's cgroup.events",
      met({ identity, state }) {
        if (paused.has(identity)) return true;
        return state === "T"
          ? "It was stopped by a signal, which others may undo (CONT), and its parent is told."
          : "Its group has not been seen frozen. (Leave it so for some seconds.)";
      },
    },
    {
      text: "then it went on",
      met({ identity, state, frozen }) {
        if (!paused.has(identity)) return "It has not been paused yet.";
        if (frozen) return "It is still frozen.";
        return state === "R" || `It is not running: its state is ${state}.`;
      },
    },
  ],
  hints: [
    `A process is paused with its group, so make one for it: 'sudo mkdir $CG/loop'. Its number goes to
    'cgroup.procs'.`,
    `'cgroup.freeze' takes a 1 and a 0. 'cgroup.events' says when all are paused.`,
  ],
  async solution(verbs) {
    const { say, $ } = verbs;
    const ours = $({ changes: "the process is moved, paused, resumed: see the line" });
    say`A group for the process, a 1, and a 0.`;
    await ours`sudo mkdir $CG/loop; echo $PID | sudo tee $CG/loop/cgroup.procs`;
    await ours`echo 1 | sudo tee $CG/loop/cgroup.freeze; sleep 1; cat $CG/loop/cgroup.events`;
    await ours`echo 0 | sudo tee $CG/loop/cgroup.freeze; sleep 1; cat $CG/loop/cgroup.events`;
    await removeGroup(verbs);
  },
  afterwards: `That is 'docker pause' and 'docker unpause'. The signal STOP would not do: it goes to one
    process after the other, and meanwhile they can start more; their parents are told; and whoever may send
    them a signal can send CONT. Who was frozen notices at most that the clock has jumped.`,
};

// ── Delegate

interface Guest {
  uid: number;
  /** Which groups it belongs to, in the sense of users. */
  gids: number[];
  /** Its group and those above it, up to the reader's, which is not among them. */
  path: string[];
}

function guests(world: World): Guest[] {
  const top = groupOf(world);
  return groupsBelow(top).flatMap((group) => {
    const path = [group];
    while (dirname(path.at(-1)!) !== top) path.push(dirname(path.at(-1)!));
    return membersOf(group).map((pid) => {
      const ids = (name: string) =>
        (
          new RegExp(`^${name}:(.*)`, "m").exec(read(`/proc/${pid}/status`))?.[1]?.match(/\d+/g) ??
          []
        ).map(Number);
      return { uid: ids("Uid")[1] ?? 0, gids: [ids("Gid")[1] ?? 0, ...ids("Groups")], path };
    });
  });
}

/** Whether a user may write a file, or in a directory. */
function mayWrite({ uid, gids }: Guest, file: string): boolean {
  // It may be gone, or never have been there.
  const { mode = 0, uid: owner, gid = -1 } = statSync(file, { throwIfNoEntry: false }) ?? {};
  return (
    (uid === 0 && mode !== 0) ||
    (mode & (uid === owner ? 0o200 : gids.includes(gid) ? 0o020 : 0o002)) !== 0
  );
}

/** The groups on the way up that have less memory than the reader's. */
const limited = ({ path }: Guest, { memory }: World) =>
  path.filter((group) => parseInt(read(join(group, "memory.max"))) < Number(memory));

const delegate: Challenge<Guest> = {
  title: "Give an ordinary user a group with a limit that they cannot raise",
  goal: `Give an ordinary user, such as nobody (65534), a group to divide as they like, with less memory
    than the 64 MB of yours. They cannot get more, whatever they write there. Start a process of theirs in
    it.`,
  needs: ["setpriv"],
  tries: ["users"],
  prepare: makeGroup,
  remember: "cat $CG/memory.max",
  subjects: guests,
  nothing: "No process is in a group below $CG.",
  criteria: [
    {
      text: "a process of an ordinary user's is in a group below $CG",
      met: ({ uid }) => uid !== 0 || "It is root's.",
    },
    {
      text: "that has less memory than yours, or one above it has",
      met: (guest, world) =>
        limited(guest, world).length > 0 ||
        `memory.max is ${guest.path.map((group) => read(join(group, "memory.max")).trim()).join(", then ")}.`,
    },
    {
      text: "the user cannot raise that limit",
      met(guest, world) {
        const limits = limited(guest, world).map((group) => join(group, "memory.max"));
        if (limits.length === 0) return "There is none.";
        const held = limits.filter((file) => !mayWrite(guest, file)).map((file) => dirname(file));
        if (held.length === 0) return `They may write to ${limits.at(-1)}.`;
        // Who may move a process to the group above is not bound by one below that.
        const isOpen = (group: string) => mayWrite(guest, join(dirname(group), "cgroup.procs"));
        return !held.every(isOpen) || `They may move out of ${held.at(-1)}, to a group beside it.`;
      },
    },
    {
      text: "and may make groups below it, put their processes there, and hand the controller on",
      met(guest, world) {
        const limit = limited(guest, world).findLast(
          (group) => !mayWrite(guest, join(group, "memory.max")),
        );
        const theirs = guest.path.slice(0, guest.path.indexOf(limit ?? "") + 1 || undefined);
        const refused = theirs.map((group) =>
          [group, join(group, "cgroup.procs"), join(group, "cgroup.subtree_control")].filter(
            (file) => !mayWrite(guest, file),
          ),
        );
        return (
          refused.some((files) => files.length === 0) ||
          `They may not write to ${refused.at(-1)![0]}.`
        );
      },
    },
  ],
  hints: [
    `A group is a directory, and a directory has an owner. So does each file in it, and not all of them
    have to be the same one's.`,
    `Make the group, and set its limit. Then 'chown' the directory and two of its files: the one that
    processes are moved by, and the one that hands controllers down. Not 'memory.max'.`,
    `The first process has to be moved by root, since the user may not take one out of your group:
    'sudo bash -c "echo \\$\\$ > $CG/guest/cgroup.procs; exec setpriv --reuid 65534 --regid 65534
    --clear-groups bash"'.`,
  ],
  async solution(verbs) {
    const { say, $, enter } = verbs;
    say`Three things change hands, and the limit does not.`;
    const ours = $({ changes: "groups below yours", undo: "they are removed at the end" });
    await ours`sudo mkdir $CG/guest; echo 32M | sudo tee $CG/guest/memory.max`;
    await ours`sudo chown 65534 $CG/guest $CG/guest/cgroup.procs $CG/guest/cgroup.subtree_control`;
    await enter({ changes: "a shell of nobody's, in that group" })`
      sudo bash -c "cd $CG/guest; echo \$\$ > cgroup.procs; exec setpriv --reuid 65534 --regid 65534 --clear-groups bash"
      echo 1G > memory.max
      mkdir mine; echo $$ > mine/cgroup.procs; cat /proc/self/cgroup
      echo +memory > cgroup.subtree_control; echo 16M > mine/memory.max; cat mine/memory.max
    `;
    await $({ changes: "the user's own group is gone" })`sudo rmdir $CG/guest/mine`;
    await removeGroup(verbs);
  },
  afterwards: `That is delegation: systemd does it for 'user@.service', and so rootless Podman can limit
    its containers. A limit counts for everything below it, so it matters little what the user writes
    there. (Root in a container is kept from its limits in a third way: with the mount option nsdelegate,
    the top of a cgroup namespace has limits that cannot be written from inside.)`,
};

export const challenges: Challenge[] = [pause, delegate];
