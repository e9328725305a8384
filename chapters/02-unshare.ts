#!/usr/bin/env -S npx tsx
/**
 * 02 · unshare: a private view of the machine
 *
 * **You know this:** in a container 'ps' shows two processes, 'hostname' prints twelve characters,
 * and port 80 is always free.
 *
 * What chroot does to files, a namespace does to something else. The kernel keeps several process
 * tables, several host names, several sets of network interfaces. Each of them is a namespace. A
 * process is in one of each type, and sees only that. unshare(1) starts a program in new ones.
 *
 *            the host's                     the container's
 *          ┌────────────────┐               ┌────────────────┐
 *     pid  │    1  init     │               │                │
 *          │  841  sshd     │               │                │
 *          │ 4136  bash ────┼─ one process ─┼─────  1  bash  │
 *          ├────────────────┤               ├────────────────┤
 *     net  │ lo  eth0       │               │ lo             │
 *          ├────────────────┤               ├────────────────┤
 *     uts  │ vm             │               │ another-name   │
 *          ├────────────────┴───────────────┴────────────────┤
 *     user │ root, and everyone else                         │
 *          └─────────────────────────────────────────────────┘
 *
 * @run npx tsx chapters/02-unshare.ts
 * @see unshare(1), namespaces(7), pid_namespaces(7), setns(2)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { compareNamespaces } from "../lib/kernel.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, table, rootfs, shell, beside }: Verbs) {
  await part`A view of its own`;
  say`The files stay where they are this time. What is new, flag by flag:`;
  table(
    ["flag", "what it does"],
    ["--pid", "a process table of its own, whose first process is number 1"],
    ["--fork", "starts the program as a child, since only children enter that process table"],
    ["--uts", "a host name of its own"],
    ["--ipc", "System V shared memory, semaphores and queues of its own, and POSIX queues"],
    ["--net", "network interfaces, addresses, routes and ports of its own"],
    ["--mount-proc", "mounts /proc anew, for 'ps', in a mount namespace of its own"],
  );
  const before = await $`hostname`;
  const named = await enter({
    changes: "a root shell in new namespaces; the host name it changes is its own",
    undo: "by the kernel, when the shell ends",
  })`
    sudo unshare --pid --fork --uts --ipc --net --mount-proc bash
    ps -ax
    ip address show
    hostname
    hostname another-name
    hostname
  `;
  say`Two processes, and one network interface, which is not even up. Since 127.0.0.1 is an address
    of that 'lo', each network namespace has its own. (The containers of a Kubernetes pod share one:
    they meet at 127.0.0.1, and yet each has its own process table.) And what became of your host
    name?`;
  const after = await $`hostname`;
  same("the shell began with the host's name, which has not changed", {
    "in the shell at first": named("hostname"),
    "on the host before": before,
    "on the host after": after,
  });
  const own = named("hostname", 2);
  differ("the shell gave itself another", { "in the shell": own, "on the host": after });

  await part`Two flags that aren't namespaces`;
  say`Without --fork, 'unshare' does not start 'bash', it turns into it. But a process never changes
    its own pid namespace; only its children are born into the new one. The first of them is process
    1 there, and when process 1 ends, the kernel closes the namespace for good.`;
  say`So the first 'ls' is process 1, and the second cannot start; the error means a closed namespace, not
    memory. (--norc keeps 'bash' from its start-up files. On Ubuntu they run a program before you type,
    and that would be process 1.)`;
  await enter({ changes: "nothing; the second 'ls' will not even start", nothrow: true })`
    sudo unshare --pid bash --norc
    ls -d /
    ls -d /
  `;
  say`Without --mount-proc the shell is process 1, as it says itself, yet /proc is still the host's,
    and 'ps' would list the host's processes. 'NSpid' has both numbers of a process, here of 'grep'
    itself: the host's, then its own.`;
  const numbered = await enter({ changes: "nothing, it only looks" })`
    sudo unshare --pid --fork bash
    echo $$
    grep NSpid /proc/self/status
  `;
  const [outer, inner] = numbered("grep NSpid /proc/self/status").match(/\d+/g) ?? [];
  differ("/proc numbers processes as the host does", { "in /proc": outer, "for itself": inner });

  await part`Something like a container`;
  say`Now with a root of its own, made as in chapter 1.`;
  await rootfs("rootfs", "bash", "cat", "grep", "hostname", "ls", "nsenter", "ps", "stat", "tr");
  say`Two more flags: --mount, so that what is mounted inside stays inside, and '--root rootfs',
    which is the chroot. (/proc/net/dev lists the network interfaces, for a root that has no 'ip',
    and 'comm' is a process's name.)`;
  const container = `sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc --root rootfs ${shell}`;
  const inside = await enter({
    changes: "a root shell in five new namespaces, with 'rootfs' as its /",
    undo: "by the kernel, when the shell ends",
  })`
    ${container}
    ps -ef
    hostname a-container; hostname
    cat /proc/net/dev
    ls -l /proc/self/ns
    cat /proc/1/comm
  `;
  same("process 1 is the shell", {
    "what was started": shell,
    "process 1": inside("cat /proc/1/comm"),
  });
  say`That is the secret: **a container is a process with namespaces and a root of its own.** Here
    are all eight types, by inode number. The same number is the same namespace.`;
  const rows = compareNamespaces(inside("ls -l /proc/self/ns"));
  table(["namespace", "host", "container", "", "what is in it"], ...rows);
  same("private are the ones that a flag asked for", {
    "asked for": ["mnt", "uts", "ipc", "net", "pid"],
    private: rows.filter((row) => row.includes("private")).map(([type]) => type),
  });
  say`Shared are the users (root inside is root outside), the cgroups and the time since the start. There are
    flags for these, too: --user, --cgroup, --time.`;
  say`The five private ones went when the shell ended: the kernel drops a namespace with its last process,
    unless an open file, a mount (chapter 5) or a child namespace still holds it.`;
  await beside(container);
}
