#!/usr/bin/env -S npx tsx
/**
 * 01 · chroot: change what / means
 *
 * **You know this:** 'docker run debian ls /' shows other files than 'ls /'. How can one path lead
 * to two places?
 *
 * Every process has a root directory, the place that it calls /. As a rule, all of them have the
 * same one. The system call chroot(2) gives a process another, and whatever that process starts
 * inherits it: from then on /bin/ls is a file below that directory. chroot dates from 1979 and is
 * the oldest part of a container.
 *
 *     / ◄──────────────────────── what your shell calls /
 *     ├── etc
 *     ├── home
 *     └── tmp
 *         └── by-hand.XXXXXX
 *             └── rootfs ◄─────── what the container calls /
 *                 ├── test.txt
 *                 └── usr/bin/bash
 *
 * @run npx tsx chapters/01-chroot.ts
 * @see chroot(1), chroot(2), ldd(1), ld.so(8), pivot_root(2)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { elders, namespaces, parseNamespaces } from "../lib/kernel.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, rootfs, shell, beside }: Verbs) {
  await part`A normal process`;
  say`An unconfined process sees all processes, all network interfaces and, as far as permissions go, all files. 'ps -ax' lists every process; 'ls
    -lisa' every file of a directory, hidden ones too (-a), with size on disk (-s) and inode number (-i), by which its file system knows it.`;
  await $`ps -ax`;
  await $`ls -lisa /`;
  await $`ip address show`;

  await part`A directory that will be /`;
  say`It gets one file, and the two programs needed to read it: a shell, and 'cat'. 'type -P' prints
    the path of a program; 'cp --parents' copies a file along with the directories in its path.`;
  await $`mkdir rootfs; echo "Hello" > rootfs/test.txt`;
  await $`type -P bash cat | xargs cp --parents --target-directory=rootfs`;
  say`Now try it. 'chroot' makes 'rootfs' the /, then starts the 'bash' that it finds there.`;
  await $({ changes: "nothing: 'bash' will not start", nothrow: true })`sudo chroot rootfs bash`;
  await $`ls -l rootfs$(type -P bash)`;
  say`"No such file or directory", yet there it is. What is missing is another file: a dynamically linked program names a loader, which the kernel
    starts first, and the loader looks for the program's libraries. 'ldd' lists loader and libraries.`;
  await $`ldd "$(type -P bash)"`;
  const own = shell === "bash";
  if (own)
    say`So copy programs along with everything that 'ldd' names, each file to the path it has on the host, where the kernel and the loader
    will look. 'xargs' runs 'ldd' on one program at a time and prints each command; 'grep -o' picks out the paths, and 'sort -u' removes
    duplicates.`;
  else {
    say`So it takes more than programs. You asked for a complete root file system: start over.`;
    await $`rm -r rootfs; mkdir rootfs; echo "Hello" > rootfs/test.txt`;
  }
  const programs = ["cat", "grep", "ls", "mount", "nsenter", "ps", "stat", "tr", "umount"];
  await rootfs("rootfs", "bash", ...programs);

  await part`Change /`;
  say`Now '${shell}' starts, and what lies outside of 'rootfs' no longer has a name: there is no
    /sys/kernel. A directory is known by its inode number: 'ls -di'.`;
  const inodes = await $`ls -di / rootfs`;
  const changed = await enter({ changes: "nothing outside of 'rootfs', which goes at the end" })`
    sudo chroot rootfs ${shell}
    cat /test.txt
    ls -lisa /
    ls /sys/kernel
    ls -di /
  `;
  const [host, outer] = inodes.stdout.split("\n").map(inode);
  const inner = inode(changed("ls -di /"));
  same("inside, / is 'rootfs'", { "rootfs outside": outer, "/ inside": inner });
  differ("it is not the host's /", { "/ outside": host, "/ inside": inner });

  await part`Files, and nothing else`;
  say`'ps' reads /proc, a file system that the kernel generates on the fly. Mount one inside: -t
    gives its type, and the next 'proc' stands where a disk would be named.`;
  const ps = own ? "ps -ax" : "ps ax";
  const inside = await enter({
    changes: "/proc is mounted a second time, on 'rootfs/proc'",
    undo: "by 'umount', the last line typed",
  })`
    sudo chroot rootfs ${shell}
    mount -t proc proc /proc
    ${ps}
    ls -l /proc/self/ns
    umount /proc
  `;
  const pids = elders();
  same("every process that is older than this chapter is in sight", {
    "on the host": pids,
    inside: pids.filter((pid) => new RegExp(`^ *${pid} `, "m").test(inside(ps))),
  });
  say`/proc/self/ns lists what else a process can have of its own: a process table (pid), a network
    (net), a host name (uts), users (user), mounts (mnt). The same number means the same one.`;
  same("chroot has changed none of them", {
    "on the host": Object.values(namespaces()),
    inside: Object.values(parseNamespaces(inside("ls -l /proc/self/ns"))),
  });
  say`So chroot hides files, and nothing else. Root inside can still kill your processes.`;

  await part`The way out`;
  say`Even files are not confined. chroot changes where / is, and '..' stops there. But a process whose working directory is not below its / never
    meets it: it can walk up to the top of all, where '.' and '..' are the same directory.`;
  say`Root inside gets into that position by a second chroot: it moves the / to a directory below, and leaves the working directory where it is, now
    outside. Here 'nsenter --root' (more in chapter 3) does the same, and the shell complains. (Newer versions of 'nsenter' must also join a
    namespace: here, the one they are in.)`;
  const outside = await enter({ changes: "nothing, but this shell gets out: type with care" })`
    sudo nsenter --pid=/proc/self/ns/pid --root=rootfs ${shell}
    ls -a ..
    until [ . -ef .. ]; do cd -P ..; done; ls
    ls -di .
    ls -di /
  `;
  const [here, top] = [outside("ls -di ."), outside("ls -di /")].map(inode);
  same("the shell has walked out, to the host's /", { "/ outside": host, "where it is": here });
  same("and its own / is still 'rootfs'", { "rootfs outside": outer, "its /": top });
  say`So runtimes use pivot_root(2): it puts the new root, for all processes that share its mounts, in the place of the old
    one, which is then unmounted. Then there is no outside to walk to.`;
  const chroot = `sudo chroot rootfs ${shell}`;
  await beside(chroot, "mount -t proc proc /proc; cd /proc/$$", "cd /; umount /proc");
}

/** The inode number in a line of 'ls -di'. */
function inode(line: string) {
  return /\d+/.exec(line)?.[0];
}
