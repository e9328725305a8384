#!/usr/bin/env -S npx tsx
/**
 * 06 · cgroup: what a process may take, and what it took
 *
 * **You know this:** 'docker run -m 64m --cpus 0.5 --pids-limit 100', 'docker stats', 'docker
 * pause', and a container that ended with exit code 137.
 *
 * Namespaces decide what a process sees. How much it takes is limited by its control group, its
 * cgroup: the kernel counts what the processes in one use together. A group is a directory.
 *
 *     /sys/fs/cgroup         the whole machine
 *     ├── system.slice       services, Docker's containers
 *     └── by-hand.x4Tz1s     hands controllers down to
 *         └── box            your container
 *               memory.max   67108864       -m 64m
 *               cpu.max      50000 100000   --cpus 0.5
 *               pids.max     100            --pids-limit 100
 *
 * @run npx tsx chapters/06-cgroup.ts
 * @tries cgroup
 * @see cgroups(7), cgroup_namespaces(7), unshare(1)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, rootfs, shell, beside }: Verbs) {
  const ours = $({ changes: "the chapter's own groups", undo: "they are removed at the end" });
  await part`A directory is a group`;
  say`Make a group, and in it one for the container; but only where cgroups are of version 2, which
    have 'cgroup.controllers'. Then limit its memory to 64 MB.`;
  await $`CG=/sys/fs/cgroup/by-hand.\${WORK##*.}; BOX=$CG/box`;
  await $({
    ...{ changes: "two groups of processes, with nobody in them", undo: "by 'rmdir', at the end" },
    undoneBy: `sudo timeout 9 sh -c 'test ! -d $CG || echo 1 > $CG/cgroup.kill; while test -d $CG; do find $CG -type d -delete; sleep .1; done' 2> /dev/null`,
  })`test -e /sys/fs/cgroup/cgroup.controllers && sudo mkdir $CG $BOX; ls -x $BOX`;
  await $({ changes: "nothing", nothrow: true })`echo 64M | sudo tee $BOX/memory.max`;
  say`Even root is refused: that file is not there, and nobody but the kernel makes files here. A limit is the work of a **controller** (cpu, memory,
    pids or another), and a group has only those that its parent hands down. The topmost group often hands them down already; those that are missing
    will be in NEW.`;
  await $`NEW=$(for c in cpu memory pids; do grep -qw $c /sys/fs/cgroup/cgroup.subtree_control || echo -n "+$c "; done); echo $NEW`;
  await $({
    ...{ changes: "the topmost groups get the controllers in NEW, if any", undo: "at the end" },
    undoneBy:
      "for C in $NEW; do echo -\\${C#+} | sudo tee /sys/fs/cgroup/cgroup.subtree_control; done || true",
  })`echo $NEW | sudo tee /sys/fs/cgroup/cgroup.subtree_control && cat $CG/cgroup.controllers`;
  say`Your group has all three. Move a process into it, by its number, and try to hand a controller on to 'box'.`;
  await ours`sleep 1d &> /dev/null & PID=$!; echo $PID | sudo tee $CG/cgroup.procs`;
  await $({
    changes: "nothing",
    nothrow: true,
  })`echo +memory | sudo tee $CG/cgroup.subtree_control`;
  say`Device or resource busy: a group that hands memory down may have no processes itself, or they
    would compete with the groups below. (The machine's topmost is exempt.) So processes live in the leaves.`;
  await ours`echo $PID | sudo tee $BOX/cgroup.procs; cat /proc/$PID/cgroup`;
  await ours`echo +cpu +memory +pids | sudo tee $CG/cgroup.subtree_control`;
  const given = await $`cat $CG/cgroup.subtree_control`;
  same("'box' has what it was given", { given, "in box": await $`cat $BOX/cgroup.controllers` });
  say`And nobody can remove a group while somebody is in it.`;
  await $({ changes: "'sleep' ends", nothrow: true })`sudo rmdir $BOX; kill $PID`;

  await part`Memory, and exit code 137`;
  say`At most 64 MB, and no swap, or what does not fit would go to the disk.`;
  await ours`echo 64M | sudo tee $BOX/memory.max; echo 0 | sudo tee $BOX/memory.swap.max`;
  say`'into' enters a group, then becomes a program. This one fills a variable with blanks.`;
  await $`echo 'echo $$ > "$1"/cgroup.procs; shift; exec "$@"' > into`;
  const oom = "grep -w oom_kill $BOX/memory.events";
  const small = await ours`sudo bash into $BOX bash -c 'printf -v x %10000000s' && ${oom}`;
  const big = await ours`sudo bash into $BOX bash -c 'printf -v x %90000000s' || echo $? $(${oom})`;
  differ("90 MB were too much, and the kill was counted", { "10 MB": small, "90 MB": big });
  say`137 is 128 + 9, and 9 is the number of the signal KILL. So every KILL looks like that, the one of 'docker kill', too, and that of 'docker stop'
    after ten seconds. But who sent it? Count again.`;
  const sent = await ours`sudo bash into $BOX bash -c 'kill -KILL $$' || echo $? $(${oom})`;
  same("a KILL from elsewhere gives the same code, and the counter stays", { "90 MB": big, sent });
  say`So if 'oom_kill' in the group's 'memory.events' goes up, the kernel has sent it, for there was no more memory (OOM, out of memory): Docker says
    'OOMKilled'. Whose limit was it? 'oom', in that file, goes up in the group whose limit was reached, and in all above it: look for the lowest. If it goes up
    nowhere, the machine was full. (Where below /sys/fs/cgroup a container's group is, /proc/PID/cgroup says. Docker removes it when the container
    ends. 'oom_kill' in /proc/vmstat stays, and counts all such kills on the machine: compare it before and after.)`;

  await part`Processor time, and how many processes`;
  say`A loop for two seconds, without a limit, then with 5 of every 100 milliseconds. 'usage_usec' is all the time so far, in millionths of a second:
    it grows by 2000000, then by about a twentieth of that. 'nr_throttled' counts the periods in which the group had to wait. (The README's numbers
    are from User Mode Linux, a kernel that runs as a process, and counts time wrong.)`;
  const spin = `sudo bash into $BOX timeout 2 bash -c 'while :; do :; done' || grep -E "usage|nr_throttled" $BOX/cpu.stat`;
  const first = await ours`${spin}`;
  await ours`echo 5000 100000 | sudo tee $BOX/cpu.max`;
  const second = await ours`${spin}`;
  const [freely, held] = [first, second].map(({ stdout }) => /nr_throttled \d+/.exec(stdout)?.[0]);
  differ("with the limit it is made to wait", { "without one": freely, "with one": held });
  say`So if 'nr_throttled' in 'cpu.stat' grows, the limit is what makes it slow.`;
  say`'timeout' starts a second process. Where only one is allowed it cannot; neither could a fork bomb.`;
  const free = await ours`sudo bash into $BOX timeout 9 true && cat $BOX/pids.events`;
  await ours`echo 1 | sudo tee $BOX/pids.max`;
  const full = await ours`sudo bash into $BOX timeout 9 true || cat $BOX/pids.events`;
  differ("the second was refused, and that was counted", { "no limit": free, "one process": full });

  await part`Watch, pause, end`;
  say`A loop in the background ('ulimit' ends it after a minute of processor time), and two files of 'docker stats':`;
  await ours`sudo bash -c "bash into $BOX bash -c 'ulimit -t 60; while :; do :; done' &> /dev/null &"`;
  await $`sleep 1; cat $BOX/{memory,pids}.current`;
  say`Freeze the group, as 'docker pause' does. No process is asked, and none can refuse.`;
  await ours`echo 1 | sudo tee $BOX/cgroup.freeze`;
  const usage = () => $`sleep 1; grep usage $BOX/cpu.stat`;
  const frozen = await usage();
  same("frozen, it uses nothing", { frozen, "a second later": await usage() });
  await ours`echo 0 | sudo tee $BOX/cgroup.freeze`;
  differ("thawed, it goes on", { frozen, "a second later": await usage() });
  say`One write ends all processes in a group, even those that are just being started. Then it is not 'populated' any more.`;
  await ours`echo 1 | sudo tee $BOX/cgroup.kill; timeout 9 sh -c "until grep 'populated 0' $BOX/cgroup.events; do sleep .1; done"`;

  await part`Your container, with limits`;
  say`Chapter 2's container with all three limits, and a cgroup namespace, whose top is 'box'.`;
  await ours`echo 50000 100000 | sudo tee $BOX/cpu.max; echo 100 | sudo tee $BOX/pids.max`;
  await rootfs("rootfs", "bash", "cat", "grep", "ls", "mkdir", "mount", "nsenter", "stat", "tr");
  const container = `sudo bash into $BOX unshare --mount --uts --ipc --net --pid --cgroup --fork --mount-proc --root rootfs ${shell}`;
  const inside = await enter({ changes: "a root shell in six new namespaces, in the group 'box'" })`
    ${container}
    cat /proc/self/cgroup
    mkdir -p /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; cat /sys/fs/cgroup/memory.max
    grep MemTotal /proc/meminfo
  `;
  const outside = await ours`sudo bash into $BOX cat /proc/self/cgroup`;
  differ("inside, it is the topmost", { outside, inside: inside("cat /proc/self/cgroup") });
  const host = await $`grep MemTotal /proc/meminfo`;
  same("its meminfo is the machine's", { host, inside: inside("grep MemTotal /proc/meminfo") });
  say`So a program that plans by 'free' takes too much, and is killed. It must read 'memory.max', as Java does. (Root inside cannot raise it: in
    Docker it is read-only, and with the mount option 'nsdelegate', which systemd sets, the kernel refuses it.)`;
  await beside(container, "mount -t cgroup2 cgroup2 /sys/fs/cgroup; cd /proc/1");
  await ours`sudo rmdir $BOX $CG; echo $NEW | tr + - | sudo tee /sys/fs/cgroup/cgroup.subtree_control || echo "Others use them now."`;
}
