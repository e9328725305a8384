/** Answers to the challenges of 01 · chroot, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

export const answers: Answer[][] = [
  [
    {
      name: "a root on a tmpfs, with the old root put on top of the new one",
      lines: [
        [
          "sudo unshare --mount bash",
          "mkdir new; mount -t tmpfs none new; cp -r rootfs/* new; cd new",
          "mount -t proc proc proc; pivot_root . .; umount --lazy .",
          "cd /",
        ],
      ],
    },
    {
      name: "a process in the background",
      lines: [
        "sudo unshare --mount bash -c 'mount --rbind rootfs rootfs; cd rootfs; mount -t proc proc proc; mkdir o; pivot_root . o; umount -l o; exec bash -c \"while :; do read -t 9 < <(:); done\"' &> /dev/null &",
      ],
    },
    {
      name: "chroot in its place",
      lines: [["sudo unshare --mount chroot rootfs bash", "mount -t proc proc /proc", "true"]],
      missing: { 1: /a directory in a mount/, 4: /got out/ },
    },
    {
      name: "chroot to a mount",
      lines: [
        [
          "sudo unshare --mount bash",
          "mount --bind rootfs rootfs; mount -t proc proc rootfs/proc",
          "exec chroot rootfs bash",
          "true",
        ],
      ],
      missing: { 4: /got out/ },
    },
    {
      name: "an old root that is left",
      lines: [
        [
          "sudo unshare --mount bash",
          "mount --bind rootfs rootfs; cd rootfs; mkdir old; pivot_root . old",
          "mount -t proc proc /proc",
          "cd /",
        ],
      ],
      missing: { 3: /mounted on \/old/ },
    },
    {
      name: "a root without /proc",
      lines: [
        [
          "sudo unshare --mount bash",
          "mount --bind rootfs rootfs; cd rootfs; mkdir old; pivot_root . old",
          "cd /",
        ],
      ],
      missing: { 2: /no \/proc/, 3: /on \/old/ },
    },
    {
      name: "a mount namespace that is made, and nothing else",
      lines: [["sudo unshare --mount bash", "cd rootfs"]],
      missing: {
        1: /the \/ of the host/,
        3: /on \/\./,
        4: /with the host's/,
      },
    },
    {
      name: "a chroot in the host's mount namespace",
      lines: [["sudo chroot rootfs bash", "true"]],
      missing: {
        0: /is the host's/,
        1: /a directory in a mount/,
        2: /no \/proc/,
        4: /got out/,
      },
    },
  ],
  [
    {
      name: "the root of a process that is in sight",
      lines: [
        [
          "sudo chroot rootfs bash",
          "mount -t proc proc /proc",
          "cd /proc/$PPID/root; umount -l /proc",
          "true",
        ],
      ],
    },
    {
      name: "a chroot to that root",
      lines: [
        [
          "sudo chroot rootfs bash",
          "mount -t proc proc /proc",
          "chroot /proc/$PPID/root bash",
          "true",
        ],
      ],
    },
    {
      name: "a shell that goes up from inside",
      lines: [["sudo chroot rootfs bash", "cd ../../..", "true"]],
      missing: { 2: /rootfs/ },
    },
    {
      name: "the chapter's own lines, with a directory outside from the start",
      lines: [
        [
          "sudo nsenter --pid=/proc/self/ns/pid --root=rootfs bash",
          "until [ . -ef .. ]; do cd -P ..; done",
          "true",
        ],
      ],
      missing: { 1: /by 'nsenter'/ },
    },
    {
      name: "a bind mount of the host's /, made from outside",
      lines: [
        "mkdir rootfs/host; sudo mount --bind / rootfs/host",
        ["sudo chroot rootfs bash", "cd /host", "true"],
      ],
      missing: { 2: /rootfs\/host/ },
    },
  ],
];
