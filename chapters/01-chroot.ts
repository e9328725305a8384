#!/usr/bin/env -S npx tsx
/**
 * 01 · chroot: change what / means
 *
 * A container has files of its own. The oldest way to that is one system call,
 * chroot(2): it changes where a process finds /. You build a directory that can
 * be a root, go in, and see how much of the machine is still in reach.
 *
 * @run npx tsx chapters/01-chroot.ts
 * @see chroot(1), chroot(2), ldd(1), ld.so(8), pivot_root(2)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { elders, identity, namespaces, parseNamespaces } from "../lib/kernel.ts";
import { hostPrograms } from "../lib/rootfs.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, see, rootfs, shell }: Verbs) {
  await part`A normal process`;
  say`Any process on this machine sees all the others, all files (as far as their permissions go)
    and all network interfaces. Look around: ps -ax lists every process, ls -lisa every file with
    its inode number (-i) and its size on disk (-s), hidden ones too (-a).`;
  await $`ps -ax`;
  await $`ls -lisa /`;
  await $`ip address show`;

  await part`A directory that will be /`;
  say`It holds one file, and the two programs you need to read it: a shell, and cat. type -P prints
    where a program is; cp --parents makes the directories of that path, too.`;
  await $`mkdir rootfs; echo "Hello" > rootfs/test.txt`;
  await $`type -P bash cat | xargs cp --parents --target-directory=rootfs`;
  say`Try it. chroot makes rootfs the /, then starts bash, which it finds in there by its path.`;
  await $({
    changes: "nothing, for bash will not start",
    nothrow: true,
  })`sudo chroot rootfs bash`;
  await $`ls -l rootfs$(type -P bash)`;
  say`No such file, it says, and there it is. What is missing is another file: a program names a
    loader, which the kernel starts in its place, and the loader looks for libraries. ldd lists them.`;
  await $`ldd /bin/bash`;
  const own = shell === "bash";
  if (own)
    say`So copy programs together with all that ldd names, each file to the path that it has on the host.
      xargs asks ldd about one program after the other, and grep -o picks out the paths.`;
  else {
    say`So a root takes more than programs. You asked for one that is complete: begin anew.`;
    await $`rm -r rootfs; mkdir rootfs; echo "Hello" > rootfs/test.txt`;
  }
  await rootfs("rootfs", hostPrograms("bash", "cat", "ls", "mount", "ps", "stat", "umount"));

  await part`Change /`;
  say`Now ${shell} starts. What lies outside rootfs has no name in here any more: there is no /sys/kernel.`;
  const [, , , root] = await enter({
    changes: "nothing but files in rootfs, should you make some",
    undo: "with rootfs, at the end of the chapter",
  })`sudo chroot rootfs ${shell}`(
    `cat /test.txt`,
    `ls -lisa /`,
    `ls /sys/kernel`,
    `stat -c %d:%i /`,
  );
  see("/ is another directory in there: another device and inode", "differ", () => ({
    "/ on the host": identity("/"),
    "/ in the chroot": root,
  }));

  await part`Files, and nothing else`;
  say`ps finds processes in /proc, so mount one: -t is the type of file system, and proc comes from
    the kernel, not from a disk.`;
  const [, listing, links] = await enter({
    changes: "/proc is mounted a second time, on rootfs/proc",
    undo: "by umount, the last line typed",
  })`sudo chroot rootfs ${shell}`(
    `mount -t proc proc /proc`,
    own ? `ps -ax` : `ps ax`,
    `ls -l /proc/self/ns`,
    `umount /proc`,
  );
  see("every process that is older than this chapter is in sight in there", "same", () => {
    const inSight = new Set(listing?.match(/^ *\d+/gm)?.map((pid) => pid.trim()));
    const pids = elders();
    return {
      "on the host": pids,
      "in the chroot": pids.filter((pid) => inSight.has(pid)),
    };
  });
  see("the pid namespace is the same, and so are all the others", "same", () => ({
    "on the host": Object.values(namespaces()),
    "in the chroot": Object.values(parseNamespaces(links ?? "")),
  }));
  say`That ls of /proc/self/ns lists what chroot left alone: processes (pid), network (net), host name
    (uts), users (user), mounts (mnt). Root in there can kill your processes and change your host name.`;

  await part`The way out`;
  say`Nor are the files locked in. chroot changes where / is; a process whose working directory lies
    outside can walk up from there. nsenter --root does a chroot and stays in the directory it is in.
    (It wants a namespace to enter, too; its own changes nothing.) Bash complains that it cannot tell where it is, and walks.`;
  const [, , escaped, chrooted] = await enter({
    changes: "nothing, but this root shell gets out of rootfs: type with care",
  })`sudo nsenter --pid=/proc/self/ns/pid --root=rootfs ${shell}`(
    `ls -a ..`,
    `until [ . -ef .. ]; do cd -P ..; done; ls`,
    `stat -c %d:%i .`,
    `stat -c %d:%i /`,
  );
  see("the shell has walked out of its root, to the / of the host", "same", () => ({
    "/ on the host": identity("/"),
    "where the shell is": escaped,
  }));
  see("and all the while its own / was rootfs", "differ", () => ({
    "where the shell is": escaped,
    "its /": chrooted,
  }));
  say`Runtimes use pivot_root(2) instead: in a mount namespace of the container's own, it puts the new
    root in the old one's place, and the old one is unmounted. Then there is nothing outside to walk to.`;
  say`Next, 02 · unshare: a view of processes, network and host name that is the container's own.`;
}
