#!/usr/bin/env -S npx tsx
/**
 * 02 · unshare: a private view of the machine
 *
 * chroot hid files and nothing else. What hides processes, network, host name
 * and mounts is a namespace: the kernel keeps several of each, and every process
 * is in one of every type. unshare(1) starts a program in new ones.
 *
 * @run npx tsx chapters/02-unshare.ts
 * @see unshare(1), namespaces(7), pid_namespaces(7), setns(2)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { runShell, spotTheDifference } from "../lib/options/engine.ts";
import { namespaces, namespaceTypes, parseNamespaces } from "../lib/kernel.ts";
import { hostPrograms } from "../lib/rootfs.ts";

await chapter(import.meta.url, tell);

async function tell(verbs: Verbs) {
  const { say, part, $, enter, see, table, rootfs, shell, image } = verbs;
  await part`A view of its own`;
  say`Your files stay where they are this time; everything else is new. Each flag is one namespace:
    --pid processes, --uts host name, --ipc shared memory and message queues, --net network.`;
  const before = await $`hostname`;
  const [, , outer, , inner] = await enter({
    changes: "a root shell in new namespaces; the host name it changes is its own",
    undo: "by the kernel, when the shell ends",
  })`sudo unshare --pid --fork --uts --ipc --net --mount-proc bash`(
    `ps -ax`,
    `ip address show`,
    `hostname`,
    `hostname another-name`,
    `hostname`,
  );
  say`Two processes, and one network interface that is not even up. What became of your host name?`;
  const after = await $`hostname`;
  see("the shell began with the host's name, which has not changed", "same", () => ({
    "in the shell, first": outer,
    "on the host, before": before.stdout,
    "on the host, after": after.stdout,
  }));
  see("the shell gave itself another", "differ", () => ({
    "in the shell, then": inner,
    "on the host, after": after.stdout,
  }));

  await part`Two flags that are no namespaces`;
  say`--fork starts the program as a child of unshare. Without it unshare becomes the program, and a
    process never changes its own pid namespace: only its children are in the new one. The first
    child is process 1 there; when it ends, the kernel closes the namespace, and no other can start.`;
  await enter({
    changes: "nothing; the second ls will not even start",
    nothrow: true,
  })`sudo unshare --pid bash`(`ls -d /`, `ls -d /`);
  say`--mount-proc mounts /proc anew, in a mount namespace of its own. Without it the shell is
    process 1, as it says itself, but /proc is still the host's, and ps would list the host's
    processes. NSpid has both numbers of a process in there: the host's, then its own.`;
  const [, numbers] = await enter({
    changes: "nothing, it only looks",
  })`sudo unshare --pid --fork bash`(`echo $$`, `grep NSpid /proc/self/status`);
  see("/proc numbers processes as the host does", "differ", () => {
    const [outer, inner] = numbers?.match(/\d+/g) ?? [];
    return { "grep in /proc": outer, "grep in its own namespace": inner };
  });

  await part`Something like a container`;
  say`Now the same with a root of its own, as in chapter 1.`;
  await rootfs("rootfs", hostPrograms("bash", "cat", "hostname", "ls", "ps"));
  say`Two more flags: --mount, so that what is mounted in there stays in there, and --root, the chroot.
    --mount-proc mounts on the proc directory of the new root.`;
  const [, , , links, name] = await enter({
    changes: "a root shell in five new namespaces, with rootfs as its /",
    undo: "by the kernel, when the shell ends",
  })`sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc --root rootfs ${shell}`(
    `ps -ef`,
    `hostname a-container; hostname`,
    `cat /proc/net/dev`,
    `ls -l /proc/self/ns`,
    `cat /proc/1/comm`,
  );
  see("process 1 in there is the shell", "same", () => ({
    "what was started": shell,
    "name of process 1": name,
  }));
  say`That is the secret: a container is a process with namespaces and a root of its own. Here are
    all eight types, by inode number: the same number is the same namespace.`;
  table(["namespace", "host", "container", ""], () => {
    const [host, container] = [namespaces(), parseNamespaces(links ?? "")];
    return namespaceTypes.map((type) => [
      type,
      host[type] ?? "-",
      container[type] ?? "-",
      host[type] === container[type] ? "shared" : "private",
    ]);
  });
  see("private are the ones that a flag asked for", "same", () => {
    const [host, container] = [namespaces(), parseNamespaces(links ?? "")];
    return {
      "asked for": ["mnt", "uts", "ipc", "net", "pid"],
      private: namespaceTypes.filter((type) => host[type] !== container[type]),
    };
  });
  say`Shared are the users (root in there is root out here), the cgroups and the clocks. unshare has
    flags for these too: --user, --cgroup, --time.`;
  if (image)
    await spotTheDifference(
      verbs,
      image.engine,
      `sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc --root rootfs ${shell}`,
      runShell(image),
    );
  say`Next, 03 · nsenter: go into a container that is already running, as docker exec does.`;
}
