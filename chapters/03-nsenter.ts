#!/usr/bin/env -S npx tsx
/**
 * 03 · nsenter: join a container that is already running
 *
 * A namespace lives as long as a process is in it, and any process with the
 * right to may join it: setns(2). That is what docker exec does. nsenter(1)
 * does it from the command line.
 *
 * @run npx tsx chapters/03-nsenter.ts
 * @see nsenter(1), setns(2), namespaces(7), proc(5)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { runShell, spotTheDifference, type Container } from "../lib/options/engine.ts";
import { identity, parseNamespaces } from "../lib/kernel.ts";
import { hostPrograms } from "../lib/rootfs.ts";

await chapter(import.meta.url, tell, {
  joins: ["cat", "hostname", "ls", "ps", "stat"],
});

async function tell(verbs: Verbs) {
  const { say, part, $, enter, see, rootfs, shell, image, container } = verbs;
  await part`A container in the background`;
  say`The container of chapter 2, with sleep in place of the shell: it does nothing for a day. What it
    prints goes to a file, which is how docker logs works. --kill-child ends it with unshare.`;
  await rootfs("rootfs", hostPrograms("bash", "cat", "hostname", "ls", "ps", "sleep", "stat"));
  await $({
    changes: "a process that sleeps in namespaces of its own, with rootfs as its /",
    undo: "by kill, further down, or when the chapter ends in any other way",
  })`sudo unshare --mount --uts --ipc --net --pid --fork --kill-child --mount-proc --root rootfs sleep 1d &> container.log & STARTED=$!`;

  await part`Which process is it?`;
  say`STARTED is what you started: sudo or unshare. The process inside is its child, or a child's
    child. Go down from one to the next (pgrep -P) until the name is sleep.`;
  await $`PID=$STARTED; while [ -e /proc/$PID ] && ! grep -q sleep /proc/$PID/comm; do PID=$(pgrep -nP $PID || echo $STARTED); done`;
  say`A process has a number in every pid namespace from yours down to its own. NSpid has them all.`;
  const started = await $`grep NSpid /proc/$STARTED/status`;
  const sleeping = await $`grep NSpid /proc/$PID/status`;
  see("the sleep has one number more: its own pid namespace is one further down", "differ", () => ({
    "numbers of STARTED": String(started.stdout.match(/\d+/g)?.length ?? ""),
    "numbers of PID": String(sleeping.stdout.match(/\d+/g)?.length ?? ""),
  }));

  await part`Join it`;
  say`nsenter takes a process (--target) and the namespaces of it to join. One is enough: join the uts
    namespace alone, and give the container a name.`;
  await $({
    changes: "the container's host name",
    undo: "it goes with the container",
  })`sudo nsenter --target "$PID" --uts hostname a-container`;
  say`Now a shell in all five. It has the container's name and network, and yet not its files:`;
  const [, , wrongRoot] = await enter({
    changes: "a root shell in the container's namespaces, but with the host's /: type with care",
  })`sudo nsenter --target "$PID" --uts --mount --ipc --net --pid bash`(
    `hostname`,
    `ip address show`,
    `stat -c %d:%i /`,
    `cat /proc/1/comm`,
  );
  see("without --root the shell has the host's /, and so the host's /proc", "same", () => ({
    "/ on the host": identity("/"),
    "/ in the shell": wrongRoot,
  }));
  say`Your container got its / by chroot, and that belongs to a process, not to a namespace. --root
    takes the target's / as well, and --wd its working directory: left outside, that would be the way
    out that chapter 1 showed. (A runtime's pivot_root changes / for the whole mount namespace; there
    --mount is enough.)`;
  const [, name, , links, root, first] = await enter({
    changes: "a root shell in the container",
    undo: "it goes when the shell ends",
  })`sudo nsenter --target "$PID" --uts --mount --ipc --net --pid --root --wd ${shell}`(
    `ps -ef`,
    `hostname`,
    `cat /proc/net/dev`,
    `ls -l /proc/self/ns`,
    `stat -c %d:%i /`,
    `cat /proc/1/comm`,
  );
  const target = await $({
    changes: "nothing, it only reads",
  })`sudo ls -l /proc/$PID/ns`;
  see("the shell was in the five namespaces of the sleep", "same", () => ({
    "sleep, from outside": five(target.stdout),
    "the shell": five(links),
  }));
  see("process 1 in there is the sleep", "same", () => ({
    "what was started": "sleep",
    "name of process 1": first,
  }));
  const host = await $`hostname`;
  see("the name is the container's", "differ", () => ({
    host: host.stdout,
    container: name,
  }));
  see("and so is /", "differ", () => ({
    "/ on the host": identity("/"),
    "/ in the shell": root,
  }));
  say`That is docker exec: find the process, join its namespaces, take its root, start a program.`;

  const mine = `sudo nsenter --target "$PID" --uts --mount --ipc --net --pid --root --wd ${shell}`;
  if (container) await joinTheirs(verbs, container, mine);
  else if (image) await spotTheDifference(verbs, image.engine, mine, runShell(image));

  await part`End it`;
  say`When process 1 ends, the kernel ends all others in the namespace. A plain kill would do nothing:
    process 1 gets only the signals it handles. That is why docker stop can take ten seconds.`;
  await $({ changes: "the container ends" })`sudo kill -9 "$PID"`;
  say`Next, 04 · overlay: where the files of a container come from, and where its changes go.`;
}

/** Joins a container that an engine runs: the same line, the same proofs. */
async function joinTheirs(verbs: Verbs, { name, engine }: Container, mine: string) {
  const { say, part, $, enter, see } = verbs;
  const { title, command } = engine;
  const typed = [
    `ps -ef`,
    `hostname`,
    `ls -l /proc/self/ns`,
    `stat -c %d:%i /`,
    `cat /proc/1/comm`,
  ];

  await part`Join one that you did not make`;
  say`${title} runs ${name}, and knows which process of yours that is.`;
  await $({
    changes: "nothing, it only asks",
  })`THEIRS=$(${command} inspect --format '{{.State.Pid}}' ${name}); echo $THEIRS`;
  say`The same line with that process, less --root and --wd: ${title} has called pivot_root, so / came
    with the mount namespace.`;
  const join = `sudo nsenter --target "$THEIRS" --uts --mount --ipc --net --pid sh`;
  const joining = {
    changes: `a root shell in ${name}: what you change in there stays changed`,
    undo: "it goes when the shell ends",
  };
  const [, theirName, links, root, first] = await enter(joining)`${join}`(...typed);
  const target = await $({
    changes: "nothing, it only reads",
  })`sudo ls -l /proc/$THEIRS/ns`;
  see("--mount alone was enough: / is the container's", "differ", () => ({
    "/ on the host": identity("/"),
    "/ in the shell": root,
  }));
  say`And now ${title}'s own way in. Its shell shows no prompt; with --tty it would.`;
  const [, execName, execLinks, execRoot, execFirst] = await enter(
    joining,
  )`${command} exec --interactive ${name} sh`(...typed);
  see("exec leads into the same five namespaces", "same", () => ({
    "from outside": five(target.stdout),
    nsenter: five(links),
    exec: five(execLinks),
  }));
  see("to the same /, the same process 1 and the same name", "same", () => ({
    nsenter: [root, first, theirName],
    exec: [execRoot, execFirst, execName],
  }));
  await spotTheDifference(verbs, engine, mine, {
    line: join,
    options: joining,
  });
}

/** The inodes of the five namespaces that the chapter's container has of its own. */
function five(listing = "") {
  const { mnt, uts, ipc, pid, net } = parseNamespaces(listing);
  return [mnt, uts, ipc, pid, net];
}
