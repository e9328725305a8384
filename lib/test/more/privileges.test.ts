/**
 * Chapter 9 where a tool does not do what it is told, so that a claim does not hold; where root has
 * fewer rights than elsewhere; and where there is nothing to take away, so that it is refused.
 */
import assert from "node:assert/strict";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { findProgram } from "../../shell.ts";
import {
  cannotRun,
  chapter,
  file,
  forbid,
  inShort,
  leavesNothing,
  mapped,
  missingTools,
  mode,
  noMapped,
  refused,
  run,
  temporary,
  toldToItsEnd,
  tsx,
  whyNot,
  withoutTool,
} from "../testing.ts";

const path = file("chapters/09-privileges.ts");
const skip = (await whyNot(path)) || missingTools("busybox", "perl", "setpriv");
const told = tsx(path, "--yes");

// ── Claims

/** The programs that stand first in PATH, as scripts; $REAL is the one that they stand for. */
type Liars = Record<string, string>;

/** Each claim, and who lies so that it does not hold, and none before it. */
const lies: [claim: RegExp, liars: Liars, ...flags: string[]][] = [
  [
    /may do what root may out here/,
    {
      unshare: `case "$*" in *mount-proc\\ bash) exec $REAL "\${@:1:$#-1}" bash -c 'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec bash' ;; esac`,
    },
  ],
  [/Docker's fourteen/, { setpriv: `set -- "\${@/-all,/-all,+sys_time,}"` }],
  [/host name/, { hostname: "[ $# -gt 0 ] || echo free; exit" }],
  [
    /in a user namespace/,
    { unshare: `case "$*" in *keep-caps\\ grep*) shift 2; exec "$@" ;; esac` },
  ],
  [/is refused/, { perl: `case $1 in filter) shift; exec "$@" ;; esac` }],
  [/no_new_privs/, { setpriv: `case $1 in --no-new-privs) shift; exec "$@" ;; esac` }],
  [/no setting/, { mount: `case "$*" in *remount*) exit ;; esac` }, "--rootfs", "busybox"],
  [/is empty/, { mount: `case "$*" in *null\\ proc*) exit ;; esac` }, "--rootfs", "busybox"],
  [
    /no new \/proc/,
    {
      nsenter: `case "$*" in *--ipc*sh) exec $REAL "$@" -c 'unshare() { echo hello; }; while IFS= read -r LINE; do echo "$LINE"; eval "$LINE"; done' ;; esac`,
    },
    ...["--rootfs", "busybox"],
  ],
  [/mountinfo/, { mount: `case "$*" in *proc/irq) exit ;; esac` }, "--rootfs", "busybox"],
];

describe(
  "a claim of chapter 9 does not hold",
  { skip: skip || (mode !== "root" && "needs root") },
  () => {
    for (const [claim, liars, ...flags] of lies)
      test(`where somebody lies: ${claim.source}`, () =>
        leavesNothing(async () => {
          const bin = temporary("bin");
          for (const [tool, lie] of Object.entries(liars)) {
            const real = findProgram(tool)!;
            const script = `#!/bin/bash\nREAL=${real}\n${lie}\nexec $REAL "$@"\n`;
            writeFileSync(join(bin, tool), script, { mode: 0o755 });
          }
          chmodSync(bin, 0o755);
          const env = { PATH: `${bin}:${process.env.PATH}` };
          const { status, stdout, stderr, ...more } = await run([...told, ...flags], { env });
          const screen = inShort({ status, stdout, stderr, ...more });
          assert.equal(status, 1, screen);
          const [wrong = ""] = /^✘ .*/m.exec(stdout) ?? [];
          assert.match(wrong, claim, screen);
          assert.match(stderr, /This claim does not hold/);
          rmSync(dirname(bin), { recursive: true });
        }));

    test("and each of its claims is among these", async () => {
      const { stdout } = toldToItsEnd(await run(chapter("09", "--print")));
      const claims = [...stdout.matchAll(/^# ✔ (.*)/gm)].map(([, claim = ""]) => claim);
      assert.equal(claims.length, lies.length);
      lies.forEach(([claim], index) => assert.match(claims[index]!, claim));
    });
  },
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
