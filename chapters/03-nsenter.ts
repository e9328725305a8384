#!/usr/bin/env -S npx tsx
/**
 * 03 · nsenter: join a container that is already running
 *
 * **You know this:** 'docker exec -it NAME sh' gives you a shell in a container that is already
 * running.
 *
 * A namespace does not belong to the process that made it. Any sufficiently privileged process can
 * join it with setns(2), a system call that takes an open file: each namespace of a process is a file
 * in /proc/PID/ns. nsenter(1) opens and joins those that you ask for, then starts a program.
 *
 *                      /proc/PID/ns     the container's
 *                       ┌───────┐       ┌──────────────┐
 *                       │ uts  ─┼──────►│ host name    │
 *                       │ mnt  ─┼──────►│ mounts       │
 *     nsenter ── open ─►│ ipc  ─┼─setns►│ queues       │
 *        │              │ net  ─┼──────►│ network      │
 *        │              │ pid  ─┼──────►│ processes:   │
 *        │              └───────┘       │   1  sleep   │
 *        └────────────── start ────────►│   7  bash    │
 *                                       └──────────────┘
 *
 * @run npx tsx chapters/03-nsenter.ts
 * @takes --container
 * @see nsenter(1), setns(2), namespaces(7), pid_namespaces(7), proc(5)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { identity, parseNamespaces } from "../lib/kernel.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, rootfs, shell, beside }: Verbs) {
  await part`A container in the background`;
  say`Make the container of chapter 2 again, with 'sleep' in place of the shell.`;
  const reads = ["cat", "grep", "ls", "nsenter", "ps", "stat", "tr"];
  await rootfs("rootfs", "bash", "hostname", "sleep", ...reads);
  say`With '&' the shell does not wait for it, and '$!' is its process number. 'setsid' gives it a session of its own, so
    that it outlives your terminal, as with 'docker run --detach'. --kill-child ends the container when 'unshare' ends. Its
    output goes to a file. ('docker logs' reads one, too, with a time and a stream for each line, unless another logging
    driver is set.)`;
  await $({
    changes: "a process that sleeps in namespaces of its own, with 'rootfs' as its /",
    undo: "by 'kill', further down, or when the chapter ends in any other way",
  })`STARTED=$(sudo bash -c 'setsid unshare --mount --uts --ipc --net --pid --fork --kill-child --mount-proc --root rootfs sleep 1d &> container.log & echo $!')`;

  await part`Which process is it?`;
  say`Docker tells you: 'State.Pid' in 'docker inspect'. You know STARTED, which is 'unshare' and stays outside. The process inside is its child:
    'pgrep -P' finds a process by its parent and its name. If there is none after 15 seconds, the log says why.`;
  const looks = { changes: "nothing, it only looks" };
  await $(
    looks,
  )`PID=$(sudo timeout 15 bash -c "until pgrep -P $STARTED sleep; do sleep .1; done") || ! cat container.log`;
  say`A process has a number in every pid namespace from yours down to its own, and 'NSpid' lists
    them. STARTED has one. The process inside has two, and for itself it is process 1.`;
  const numbers = await $(looks)`sudo grep -h NSpid /proc/{$STARTED,$PID}/status`;
  const [started, sleeping] = numbers.stdout.split("\n").map(howMany);
  differ("'sleep' has one number more: its own pid namespace is one further down", {
    "numbers of STARTED": started,
    "numbers of PID": sleeping,
  });

  await part`Join it`;
  say`--target names the process, and each further flag one of its namespaces. One will do: join the
    uts namespace alone, and give the container a name.`;
  await $({
    changes: "the container's host name",
    undo: "it goes with the container",
  })`sudo nsenter --target "$PID" --uts hostname a-container`;
  say`Now start a shell in all five. It has the container's name and network, but not its files:`;
  const astray = await enter({
    changes: "a root shell in the container's namespaces, but with the host's /: type with care",
  })`
    sudo nsenter --target "$PID" --uts --mount --ipc --net --pid bash
    hostname
    ip address show
    stat -c %d:%i /
    cat /proc/1/comm
  `;
  same("without --root the shell has the host's /, and so the host's /proc", {
    "/ on the host": identity("/"),
    "/ in the shell": astray("stat -c %d:%i /"),
  });
  say`Your container got its / by chroot, and that belongs to a process, not to a namespace. So --root takes over the
    target's /, and --wd its working directory: with one outside of that / you could walk up, as in chapter 1. (A runtime's
    pivot_root changes / for the whole mount namespace, so --mount brings it along. That is where 'docker exec' gets its /
    from.)`;
  const mine = `sudo nsenter --target "$PID" --uts --mount --ipc --net --pid --root --wd ${shell}`;
  const inside = await enter({ changes: "a root shell in the container, until it ends" })`
    ${mine}
    ps -ef
    hostname
    cat /proc/net/dev
    ls -l /proc/self/ns
    stat -c %d:%i /
    cat /proc/1/comm
  `;
  const target = await $(looks)`sudo ls -l /proc/$PID/ns`;
  same("the shell was in the five namespaces of 'sleep'", {
    "sleep, from outside": five(target.stdout),
    "the shell": five(inside("ls -l /proc/self/ns")),
  });
  same("process 1 is 'sleep'", { started: "sleep", "process 1": inside("cat /proc/1/comm") });
  const host = await $`hostname`;
  differ("the name is the container's", { host, container: inside("hostname") });
  differ("and so is /", { host: identity("/"), container: inside("stat -c %d:%i /") });
  say`That is the heart of 'docker exec': find the process, join its namespaces, start a program.
    (With '--container NAME' this chapter also joins a running Docker or Podman container.)`;
  await beside(mine);

  await part`End it`;
  say`When process 1 ends, the kernel kills all the others in its pid namespace. But a plain 'kill'
    would do nothing: process 1 gets only those signals that it has a handler for, and 'sleep' has
    none. The exception is KILL, '-9', when it comes from outside.`;
  say`So 'docker stop' can take ten seconds: it sends TERM, waits that long, then sends KILL. To end at once, process 1 must
    handle TERM, or pass it on, as 'docker run --init' does: a small process 1 starts your program, and passes TERM on to it.
    That ends it, for now it is not process 1. (A shell passes nothing on, and 'CMD npm start' in a Dockerfile begins with
    one, 'CMD ["npm", "start"]' does not.)`;
  await $({ changes: "the container ends" })`sudo kill -9 "$PID"`;
}

/** How many numbers there are in a line. */
function howMany(line: string) {
  return line.match(/\d+/g)?.length.toString();
}

/** The inodes of the five namespaces that the container has of its own. */
function five(listing: string) {
  const { mnt, uts, ipc, pid, net } = parseNamespaces(listing);
  return [mnt, uts, ipc, pid, net];
}
