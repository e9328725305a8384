/** Answers to the challenges of 02 · unshare, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

export const answers: Answer[][] = [
  [
    {
      name: "a nested unshare that is the child",
      lines: [
        [
          "sudo unshare --pid bash --norc -c 'unshare --mount bash; exit'",
          "mount -t proc proc rootfs/proc",
          "exec chroot rootfs bash",
        ],
      ],
    },
    {
      name: "a container in the background, with a bind mount as its root",
      lines: [
        'sudo unshare -pm bash -c \'bash -c "mount --bind rootfs rootfs; mount -t proc proc rootfs/proc; exec chroot rootfs bash -c \\"read < <(:); while :; do read -t 9; done\\""; exit\' &> /dev/null &',
      ],
    },
    {
      name: "the three flags themselves",
      lines: [["sudo unshare --mount --pid --fork --mount-proc --root rootfs bash", "ps"]],
      missing: { 3: /--fork, --mount-proc, --root/ },
    },
    {
      name: "unshare under another name",
      lines: [
        [
          "sudo bash --norc -c 'exec -a bash unshare --mount --pid --fork bash'",
          "mount -t proc proc rootfs/proc; exec chroot rootfs bash",
          "ps",
        ],
      ],
      missing: { 3: /--fork/ },
    },
    {
      name: "a pid namespace that is made, and not entered",
      lines: [["sudo unshare --pid --mount chroot rootfs bash", "echo"]],
      missing: { 0: /is the host's/, 2: /nothing mounted/ },
    },
    {
      name: "the second child, which is not process 1",
      lines: [
        [
          "sudo unshare --pid --mount bash --norc -c 'sleep 9 & mount -t proc proc rootfs/proc; chroot rootfs bash; exit'",
          "ps",
        ],
      ],
      missing: { 0: /it is number [^1]/ },
    },
    {
      name: "a /proc that is the host's",
      lines: [
        [
          "sudo mount --rbind /proc rootfs/proc; sudo unshare --pid --mount bash --norc -c 'chroot rootfs bash; exit'",
          "ps",
        ],
      ],
      missing: { 2: /shows another/ },
    },
    {
      name: "a process that keeps the host's root",
      lines: [
        [
          "sudo unshare --pid --mount bash --norc -c 'bash; exit'",
          "mount -t proc proc /proc",
          "ps",
        ],
      ],
      missing: { 1: /the \/ of the host/ },
    },
  ],
  [
    {
      name: "one namespace in the other",
      lines: [
        [
          "sudo unshare --user --map-root-user unshare --cgroup unshare --time --boottime=-5 bash",
          "exec unshare --fork bash",
          "true",
        ],
      ],
    },
    {
      name: "a user namespace without a map",
      lines: [["sudo unshare --user --cgroup --time --boottime 9 --fork bash", "true"]],
      missing: { 0: /uid_map is empty/ },
    },
    {
      name: "the host's cgroup namespace",
      lines: [["sudo unshare --user -r --time --boottime 9 --fork bash", "true"]],
      missing: { 1: /namespace is the host's/ },
    },
    {
      name: "a clock that nobody has set",
      lines: [["sudo unshare --user -r --cgroup --time --fork bash", "true"]],
      missing: { 2: /uptime is the host's/ },
    },
  ],
];
