/**
 * Chapter 5 where a tool does not do what it is told. What is in the root file system is BusyBox's,
 * which does.
 */
import { testLies } from "../lies.ts";

/** Gives the shell that 'unshare' opens for the first scene a function. */
const inShell = (name: string, lines: string) =>
  `${name}() { ${lines}; }; case "$*" in *norc) export -f ${name} ;; esac`;

await testLies(
  "05",
  {
    "at first '..' was the old /": ["unshare", inShell("ls", "command ls -di / /")],
    "after chroot it gets out": [
      "chroot",
      `mount --bind "$1" "$1"; cd "$1"; mkdir -p old; mount -t proc proc proc; pivot_root . old
       shift; exec busybox sh -c 'busybox umount -l /old; exec "$@"' sh "$@"`,
    ],
    "after pivot_root it does not": ["unshare", inShell("umount", "true")],
    "whoever joins gets the / of 'sleep', and the file is the one outside": [
      "mount",
      `[ "$*" != "--bind volume merged/data" ] || exit 0`,
    ],
    "only /tmp could be written to": [
      "mount",
      `[ "$*" != "--bind volume merged/data" ] || echo "in /" > merged/new.txt`,
    ],
    "the stick arrived in the slave and in the shared one": [
      "unshare",
      `[ "$3" != private ] || set -- "\${@:1:2}" shared "\${@:4}"`,
    ],
    "only the shared one's came back": ["nsenter", `set -- "\${@/--mount=private/--mount=shared}"`],
  },
  "--rootfs",
  "busybox",
);
