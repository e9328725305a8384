/** Answers to the challenges of 05 · pivot-root, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

/** Mounts something from outside, and lets it arrive. */
const plugIn = 'nsenter --target $PPID --mount mount -t tmpfs stick "$PWD/volume/usb"';
const unplug = "sudo umount --recursive volume";
const pivot = "cd rootfs; pivot_root . .; mount -t proc proc /proc; umount -l .";
const own = "sudo unshare --mount --pid --fork bash";
const three =
  "mount --bind rootfs rootfs; mount --bind volume rootfs/data; mount -t tmpfs none rootfs/tmp";

export const answers: Answer[][] = [
  [
    {
      name: "copies that are shared at first, and one of them made a slave",
      lines: [
        [
          "sudo unshare --mount --propagation unchanged bash",
          "mount --bind volume data; mount --make-slave data",
          plugIn,
          "true",
        ],
        unplug,
      ],
    },
    {
      name: "a process in the background, with a slave that others may share",
      lines: [
        "sudo unshare --mount --propagation slave bash -c 'mount --bind volume data; mount --make-shared data; exec sleep 9' &> /dev/null &",
        "sleep 1; sudo mount -t tmpfs stick volume/usb; sleep 1",
        "true",
        unplug,
      ],
    },
    {
      name: "the default, which is private",
      lines: [["sudo unshare --mount bash", "mount --bind volume data", plugIn, "true"], unplug],
      missing: { 1: /is private, and 'volume' is shared:\d+/, 3: /not arrived/ },
    },
    {
      name: "a copy that is shared",
      lines: [
        [
          "sudo unshare --mount --propagation unchanged bash",
          "mount --bind volume data; true",
          plugIn,
          "true",
        ],
        unplug,
      ],
      missing: { 1: /is shared:\d+, and 'volume' is/, 2: /Both are shared/ },
    },
    {
      name: "what was mounted before",
      lines: [
        "sudo mount -t tmpfs stick volume/usb",
        ["sudo unshare --mount bash", "mount --rbind volume data", "true"],
        unplug,
      ],
      missing: { 1: /private/ },
    },
    {
      name: "another directory",
      lines: [
        ["sudo unshare --mount --propagation slave bash", "mount -t tmpfs none data", "true"],
        unplug,
      ],
      missing: { 0: /Nothing of 'volume'/, 1: /private/, 2: /no such/, 3: /Nothing is mounted/ },
    },
  ],
  [
    {
      name: "an overlay without an upper directory",
      lines: [
        [
          own,
          "mkdir empty merged; mount -t overlay overlay -o lowerdir=empty:rootfs merged",
          "mount --bind volume merged/data; mount -t tmpfs none merged/tmp; cd merged",
          "pivot_root . .; mount -t proc proc /proc; umount -l .",
          "true",
        ],
      ],
    },
    {
      name: "a bind mount that is read-only from the start, and a chroot into it at last",
      lines: [[own, `${three}; mount -o remount,bind,ro rootfs; ${pivot}`, "exec bash", "true"]],
    },
    {
      name: "a / that can be written to",
      lines: [[own, three, pivot, "true"]],
      missing: { 1: /can write to its \// },
    },
    {
      name: "chroot in the place of pivot_root",
      lines: [
        [
          own,
          `${three}; mount -t proc proc rootfs/proc; mount -o remount,bind,ro rootfs`,
          "exec chroot rootfs bash",
          "true",
        ],
      ],
      missing: { 5: /got out/ },
    },
    {
      name: "a /proc with the machine's processes",
      lines: [
        ["sudo unshare --mount bash", `${three}; ${pivot}; mount -o remount,bind,ro /`, "true"],
      ],
      missing: { 5: /shows processes outside/ },
    },
    {
      name: "a volume that is read-only, too",
      lines: [
        [
          own,
          `${three}; ${pivot}`,
          "mount -o remount,bind,ro /data; mount -o remount,bind,ro /",
          "true",
        ],
      ],
      missing: { 3: /data is read-only/ },
    },
    {
      name: "an old root that is left",
      lines: [
        [
          own,
          `${three}; mkdir rootfs/old; cd rootfs; pivot_root . old; mount -t proc proc /proc`,
          "mount -o remount,bind,ro /",
          "true",
        ],
      ],
      missing: { 4: /can write to \/old/ },
    },
    {
      name: "a /tmp on the disk",
      lines: [
        [
          own,
          "mkdir on-disk; mount --bind rootfs rootfs; mount --bind volume rootfs/data",
          `mount --bind on-disk rootfs/tmp; ${pivot}; mount -o remount,bind,ro /`,
          "true",
        ],
      ],
      missing: { 2: /No tmpfs/ },
    },
  ],
];
