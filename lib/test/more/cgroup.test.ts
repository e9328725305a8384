/**
 * Chapter 6 where a tool does not do what it is told. What is in the root file system is BusyBox's,
 * which does.
 */
import { testLies } from "../lies.ts";

/** Writes something else to a group's file than it is told to, by a command of sed's. */
const tee = (file: string, change: string): [string, string] => [
  "tee",
  `case $1 in */${file}) sed '${change}' | $REAL "$@"; exit ;; esac`,
];

await testLies(
  "06",
  {
    "'box' has what it was given": [
      "cat",
      `case $1 in */cgroup.subtree_control) echo cpu memory; exit ;; esac`,
    ],
    "90 MB were too much, and the kill was counted": tee("memory.max", "s/64M/640M/"),
    "a KILL from elsewhere gives the same code, and the counter stays": [
      "grep",
      // At the third time it counts one more.
      `case "$*" in *oom_kill*)
         echo >> "$TMPDIR/looked"
         $REAL "$@" | if [ $(wc -l < "$TMPDIR/looked") = 3 ]; then sed s/1/2/; else cat; fi; exit ;;
       esac`,
    ],
    "with the limit it is made to wait": tee("cpu.max", "s/^5000 /max /"),
    "the second was refused, and that was counted": tee("pids.max", "s/^1$/9/"),
    "frozen, it uses nothing": tee("cgroup.freeze", "s/1/0/"),
    "thawed, it goes on": tee("cgroup.freeze", "s/0/1/"),
    "inside, it is the topmost": ["unshare", `set -- "\${@/--cgroup/--mount}"`],
    "its meminfo is the machine's": ["grep", `[ "$1" != MemTotal ] || { echo all; exit; }`],
  },
  "--rootfs",
  "busybox",
);
