/**
 * Chapter 9 where a tool does not do what it is told, so that a claim does not hold; where root has
 * fewer rights than elsewhere; and where there is nothing to take away, so that it is refused.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { testLies } from "../lies.ts";
import {
  cannotRun,
  file,
  forbid,
  leavesNothing,
  mapped,
  missingTools,
  mode,
  noMapped,
  refused,
  run,
  toldToItsEnd,
  tsx,
  whyNot,
  withoutTool,
} from "../testing.ts";

const path = file("chapters/09-privileges.ts");
const skip = (await whyNot(path)) || missingTools("busybox", "perl", "setpriv");
const told = tsx(path, "--yes");

// ── Claims

await testLies(
  "09",
  {
    "root in there may do what root may out here": [
      "unshare",
      `case "$*" in *mount-proc\\ *sh) exec $REAL "\${@:1:$#-1}" bash -c 'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec bash' ;; esac`,
    ],
    "left are Docker's fourteen, as far as root has them here": [
      "setpriv",
      `set -- "\${@/-all,/-all,+sys_time,}"`,
    ],
    "it cannot change its host name any more": ["hostname", "[ $# -gt 0 ] || echo free; exit"],
    "in a user namespace of its own it has others": [
      "unshare",
      `case "$*" in *keep-caps\\ grep*) shift 2; exec "$@" ;; esac`,
    ],
    "root with all rights is refused": ["perl", `case $1 in filter) shift; exec "$@" ;; esac`],
    "no_new_privs: nothing gained": [
      "setpriv",
      `case $1 in --no-new-privs) shift; exec "$@" ;; esac`,
    ],
    "no setting can be written": ["mount", `case "$*" in *remount*) exit ;; esac`],
    "what is covered is empty": ["mount", `case "$*" in *null\\ proc*) exit ;; esac`],
    "no new /proc where it is covered": [
      "nsenter",
      `case "$*" in *--ipc*sh) exec $REAL "$@" -c 'unshare() { echo hello; }; while IFS= read -r LINE; do echo "$LINE"; eval "$LINE"; done' ;; esac`,
    ],
    "mountinfo has each of them": ["mount", `case "$*" in *proc/irq) exit ;; esac`],
  },
  "--rootfs",
  "busybox",
);

// ── Fewer rights, and refusals

const [EINVAL, ENOSYS] = [22, 38];
const root = mode !== "root" && "needs root";

describe("chapter 9", { skip: skip || cannotRun }, () => {
  test("says so where root lacks a capability that Docker leaves", { skip: root }, () =>
    leavesNothing(async () => {
      const fewer = ["setpriv", "--bounding-set=-mknod,-chown", "--inh-caps=-all"];
      const { stdout } = toldToItsEnd(await run([...fewer, ...told]));
      assert.match(
        stdout,
        /^✔ left are Docker's fourteen, .*\n +Docker +0*a00425fa\n +left +0*a00425fa$/m,
      );
    }),
  );

  for (const [what, command, says, why] of [
    ["perl", withoutTool("perl", told), [/^perl is missing/m, /perl-base on Debian/], root],
    ["setpriv", withoutTool("setpriv", told), [/^setpriv is missing/m, /util-linux/], root],
    [
      "seccomp filters",
      forbid("$prctl", 22, EINVAL, told),
      [/takes no seccomp filter: Invalid argument/, /emulator/],
      root,
    ],
    [
      "a user namespace for a root with fewer rights",
      [
        ...mapped,
        "bash",
        "-c",
        'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"',
        "-",
        ...told,
      ],
      [/not make a user namespace/, /user\.max_user_namespaces is 0/, /sudo sysctl/],
      noMapped,
    ],
    [
      "the right to give up rights",
      ["setpriv", "--bounding-set=-setpcap", "--inh-caps=-all", ...told],
      [/may not give up capabilities/],
      root,
    ],
    [
      "new privileges",
      ["setpriv", "--no-new-privs", ...told],
      [/has no_new_privs already/, /another terminal/],
      root,
    ],
    [
      "Landlock, for its challenges",
      forbid("444", undefined, ENOSYS, [...told, "--challenge"]),
      [/this kernel has none: Function not implemented/, /5\.13/],
      root,
    ],
  ] as [string, string[], RegExp[], string | false][])
    test(`is refused where there is no such thing as ${what}`, { skip: why }, async () => {
      const refusal = refused(await leavesNothing(() => run(command)));
      for (const pattern of says) assert.match(refusal, pattern);
    });
});
