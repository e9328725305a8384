#!/usr/bin/env -S npx tsx
/**
 * 08 · user: root who is nobody outside
 *
 * **You know this:** rootless Podman needs no 'sudo', and yet 'id' in its containers says root. In
 * Kubernetes, 'hostUsers: false' makes such a root.
 *
 * So far root inside was root outside. In a user namespace users have other numbers, and a map says
 * who they are outside. Its root has every right of root's, but only over what belongs to it: not your
 * machine. In the figure its number out there belongs to nobody, as in Kubernetes; in rootless Podman
 * it is yours.
 *
 *      in the container             on the host
 *     ┌─────────────────┐      ┌────────────────────┐
 *     │                 │      │ 0 root, 1000 you   │
 *     │     0  root ────┼──────┼─ 100000            │
 *     │     7 ──────────┼──────┼─ 100007            │
 *     │ 65535 ──────────┼──────┼─ 165535            │
 *     └─────────────────┘      └────────────────────┘
 *
 * @run npx tsx chapters/08-user.ts
 * @needs findmnt (util-linux, util-linux, util-linux, findmnt)
 * @tries ids
 * @see user_namespaces(7), capabilities(7), unshare(1), newuidmap(1), subuid(5)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { read } from "../lib/kernel.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, rootfs, shell, beside }: Verbs) {
  await part`Nobody`;
  say`Root's power is made of rights, the **capabilities**. In 'CapEff' each of them is a bit.`;
  const may = "grep CapEff /proc/self/status";
  await $({ changes: "nothing, it only looks" })`sudo ${may}`;
  say`Now a user namespace. On most machines anyone may make one: there is no 'sudo' in this line. (Ubuntu's AppArmor may forbid what follows: see "When it says no" in README.md.)`;
  const nobody = await enter`
    unshare --user bash
    id
    ${may}
    mount -t tmpfs none /mnt
    touch mine; chown 0 mine
    stat -c %u mine
  `;
  say`No user has a number in there yet. The kernel shows 65534 for all of them, which 'id' calls nobody, and nothing can be given to a 0 that is not
    there. (The first process has every capability. It loses them with the next program, here 'bash', unless it is user 0 in there.)`;
  const owner = await $`stat -c %u mine`;
  differ("inside, it has another owner", { inside: nobody("stat -c %u mine"), outside: owner });

  await part`A map, by hand`;
  say`The map is a file in /proc/PID. It can be written only once, here by whoever made the namespace: first number inside, first one outside, how
    many. Without root you may map only yourself; and your group only after 'setgroups' is denied, because a file may be open to all but one group,
    and whoever left that group could open it. Start a process ('read' waits for its number), map it, and join it. (With --preserve-credentials
    'nsenter' sets no users and groups, which it may not here.)`;
  const sleeps = "read -r PID < <(unshare --user bash -c 'echo $$; exec sleep 1d &> /dev/null')";
  await $`${sleeps}`;
  await $`echo deny > /proc/$PID/setgroups; echo "0 $(id -g) 1" > /proc/$PID/gid_map`;
  await $`echo "0 $(id -u) 1" > /proc/$PID/uid_map; cat /proc/$PID/uid_map`;
  await $({ nothrow: true })`echo "0 $(id -u) 1" | cat > /proc/$PID/uid_map`;
  const own = "unshare --uts --mount bash -ec 'mount -t tmpfs none /mnt; hostname own; hostname'";
  const root = await enter`
    nsenter --target $PID --user --preserve-credentials bash
    id
    ${may}
    hostname $(hostname); mount -t tmpfs none /mnt
    ${own}
  `;
  say`"You must be root", root is told. What counts is whose a thing is: the host's name and mounts belong to the
    host's user namespace, where you have no such right; new ones, to yours.`;
  const all = 2 ** (Number(read("/proc/sys/kernel/cap_last_cap")) + 1) - 1;
  const every = `CapEff:\t${all.toString(16).padStart(16, "0")}`;
  same("it has every right that the kernel knows", { every, root: root(may) });
  differ("nobody had none", { nobody: nobody(may), root: root(may) });
  const host = await $`hostname`;
  differ("the name that it gave is not the host's", { inside: root(own), outside: host });
  const you = await $`id -u`;
  const seen = await $`stat -c %u /proc/$PID; kill $PID`;
  same("outside, the process is yours", { you, "the process": seen });

  await part`A container without sudo`;
  const programs = ["cat", "chown", "grep", "hostname", "ls", "mknod", "nsenter", "stat", "touch"];
  await rootfs("rootfs", "bash", "tr", ...programs);
  say`Chapter 2's line without 'sudo'. --user and --map-root-user do what you did by hand.`;
  await enter`
    unshare --user --map-root-user --mount --uts --ipc --net --pid --fork --mount-proc --root rootfs ${shell}
    cat /proc/self/uid_map
    hostname a-container; hostname
    touch /by-root; chown 1 /by-root; stat -c %u /by-root
  `;
  const yours = await $`stat -c %u rootfs/by-root`;
  same("what root makes in there is yours", { you, "its owner": yours });
  say`That is rootless Podman, almost. It says "Invalid argument", too, of an image whose files have numbers that the map lacks. And outside you are
    not root: there is no port below 1024 (the setting is below), no 'ping' for groups that are not in 'ping_group_range', no overlay before Linux 5.11.`;
  await $`cat /proc/sys/net/ipv4/ip_unprivileged_port_start`;

  await part`Root who is somebody else`;
  say`So root gives users more numbers, as a rule 65536 each, in '/etc/subuid'. 'newuidmap', which runs with rights that you lack, writes a map of
    them; 'unshare --map-auto' calls it. Here, 'sudo' writes one, and 'nsenter' becomes user 0 of it.`;
  await $`${sleeps}`;
  const maps = { changes: "root in there is 100000 outside", undo: "by 'kill', at the end" };
  await $(maps)`echo 0 100000 65536 | sudo tee /proc/$PID/{uid,gid}_map`;
  const file = await $`chmod 711 .; touch file; chmod 600 file; stat -c %u file`;
  const stranger = await enter`
    nsenter --target $PID --user bash --norc
    id -u; cat file /etc/shadow
    date --set now > /dev/null
    unshare --mount mount -r -t ext4 "$(findmnt -nvo SOURCE /)" /mnt
    stat -c %u file
  `;
  differ("your file is nobody's in there", { inside: stranger("stat -c %u file"), outside: file });
  say`It may not read what is yours or the host's root's, nor set the clock, nor mount a disk. And
    so that it can write to 'rootfs', that must be given to 100000 first.`;
  await $({ changes: "the files in 'rootfs' are 100000's" })`sudo chown -R 100000:100000 rootfs`;
  const container = `nsenter --target $PID --user unshare --mount --uts --ipc --net --pid --fork --mount-proc --root rootfs ${shell}`;
  await enter`
    ${container}
    mknod /null c 1 3
    touch /by-seven; chown 7 /by-seven
    chown 65536 /by-seven; stat -c %u /by-root /by-seven
  `;
  const outside = await $`cat /proc/$PID/uid_map; stat -c %u rootfs/by-root rootfs/by-seven`;
  const [, first, , ...owners] = outside.stdout.match(/\d+/g) ?? [];
  const map = [`${first}`, `${Number(first) + 7}`];
  same("outside, 0 and 7 are what the map makes of them", { map, owners });
  say`Docker maps nothing unless told to (userns-remap, rootless): its root is the host's, with fewer rights.
    In rootless Docker and Podman 0 is you, and 1 the first number that '/etc/subuid' gives you: see '--rootfs podman:IMAGE'.`;
  await beside(container);
  await $`kill $PID`;
}
