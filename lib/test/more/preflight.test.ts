/**
 * Where a chapter cannot run, it says why and what to do, and touches nothing.
 *
 * Each surrounding is made for real, out of namespaces, mounts and containers.
 */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { findProgram } from "../../shell.ts";
import {
  atTerminal,
  cannotRun,
  chapters,
  checkout,
  fixture,
  leavesNothing,
  mapped,
  missingTools,
  mode,
  noMapped,
  noOwnMounts,
  numbered,
  ownMounts,
  prepared,
  refused,
  run,
  succeeds,
  sudo,
  temporary,
  toldToItsEnd,
  tsx,
  without,
  withoutTool,
} from "../testing.ts";

/** A chapter that takes what all take, and some that take more. */
const plain = tsx(fixture("walk"), "--yes");
const rootless = tsx(fixture("walk"), "--yes", "--rootless");
const overlay = tsx(fixture("layers"), "--yes");
/** One that takes user namespaces, and users to map in them. */
const users = tsx(numbered("08"), "--yes");

// ── Surroundings

/** A command after some lines of shell, where these are root's in a user namespace. */
const after = (setup: string, command: string[], who = mapped) => prepared(setup, command, who);

/** A user who is not root. */
const ordinary = ["unshare", "--user", "--map-user=1000", "--map-group=1000"];

const setting = (name: string, value: number) =>
  `mount -t tmpfs none /proc/sys/kernel; echo ${value} > /proc/sys/kernel/${name}`;
const covered = "mount -t tmpfs none /proc/irq";
/** Most machines have this mounted, and it is in nobody's way. */
const binfmt =
  "if [ -d /proc/sys/fs/binfmt_misc ]; then mount -t tmpfs none /proc/sys/fs/binfmt_misc; fi";
/** One level of user namespaces, and no more. */
const shallow = (command: string[]) =>
  after("echo 1 > /proc/sys/user/max_user_namespaces", after(binfmt, command));
/** An overlay on TMPDIR. */
const onOverlay = `mount -t tmpfs none /mnt; cd /mnt; mkdir lower upper work
  mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work "$TMPDIR"
  cd "$OLDPWD"`;
const noSudo = `mount --bind /dev/null ${findProgram("sudo")}`;

/** A seccomp filter under which unshare(2) is not permitted. See seccomp(2). */
function filter(): string {
  const number = { x64: 272, arm64: 97 }[process.arch as "x64"];
  const [load, equal, give] = [0x20, 0x15, 0x06];
  const [notPermitted, allow] = [0x50001, 0x7fff0000];
  const program = [
    [load, 0, 0, 0],
    [equal, 0, 1, number!],
    [give, 0, 0, notPermitted],
    [give, 0, 0, allow],
  ] as const;
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, yes, no, value], index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.set([yes, no], index * 8 + 2);
    bytes.writeUInt32LE(value, index * 8 + 4);
  });
  return [...bytes].map((byte) => `\\x${byte.toString(16)}`).join("");
}

/** A container of bubblewrap's with that filter. */
const filtered = (command: string[], ...flags: string[]) => [
  ...["bash", "-c", `exec bwrap "$@" 10< <(printf '${filter()}')`, "-"],
  ...["--dev-bind", "/", "/", "--seccomp", "10", ...flags, ...command],
];
const asContainersRoot = [...["--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL"]];
const noBubblewrap =
  missingTools("bwrap") ||
  (!["x64", "arm64"].includes(process.arch) &&
    "the number of unshare(2) is known for x64 and arm64 only") ||
  (!succeeds("bwrap", "--dev-bind", "/", "/", "--unshare-user", "true") &&
    "bwrap does not work here");

/** A container of Podman's, whose files are this machine's. */
const podman = (command: string[], ...flags: string[]) => [
  ...sudo,
  ...["podman", "run", "--rm", "--network=none", `--workdir=${checkout}`],
  ...[...flags, "--rootfs", "/:O", ...command],
];
const noPodman =
  (mode === "rootless" && "only root's Podman has the machine's files") ||
  missingTools("podman") ||
  (!succeeds(...podman(["true"])) && "Podman does not work here");

// ── Refusals

interface Refusal {
  /** The rest of the sentence "A chapter refuses …". */
  name: string;
  skip?: string | false;
  command: string[];
  env?: NodeJS.ProcessEnv;
  /** What it says: what cannot be done, the cause, the remedy, what works instead. */
  says: RegExp[];
  /** What it must not say, for it is not so. */
  silent?: RegExp;
}

const outside = /outside of the container|--privileged/;

const refusals: Refusal[] = [
  {
    name: "--rootless when user.max_user_namespaces is 0",
    skip: noMapped,
    command: after("echo 0 > /proc/sys/user/max_user_namespaces", rootless),
    says: [
      /--rootless does not work here/,
      /user\.max_user_namespaces is 0/,
      /sudo sysctl user\.max_user_namespaces=\d+/,
    ],
  },
  {
    name: "--rootless when user namespaces are nested as deep as they may be",
    skip: noMapped,
    command: shallow(rootless),
    says: [/--rootless does not work here/, /user\.max_user_namespaces/],
    silent: /covered|binfmt_misc/,
  },
  {
    name: "--rootless when kernel.unprivileged_userns_clone is 0",
    skip: noMapped,
    command: after(setting("unprivileged_userns_clone", 0), rootless),
    says: [
      /--rootless does not work here/,
      /kernel\.unprivileged_userns_clone is 0/,
      /sudo sysctl kernel\.unprivileged_userns_clone=1/,
    ],
  },
  {
    name: "--rootless when AppArmor forbids to mount in a user namespace",
    skip: noMapped,
    command: after(setting("apparmor_restrict_unprivileged_userns", 1), rootless),
    says: [
      /--rootless does not work here/,
      /kernel\.apparmor_restrict_unprivileged_userns is 1/,
      /AppArmor lets you make a user namespace, but not mount in it/,
      /sudo sysctl kernel\.apparmor_restrict_unprivileged_userns=0/,
    ],
  },
  {
    name: "--rootless when parts of /proc are covered",
    skip: noMapped,
    command: after(covered, rootless),
    says: [/--rootless does not work here/, /\/proc\/irq/, outside],
  },
  {
    name: "--rootless when parts of /proc are covered and a capability is missing, which does not matter",
    skip: noMapped,
    command: after(covered, [...without("sys_admin"), ...rootless]),
    says: [/--rootless does not work here/, /\/proc\/irq/, outside],
    silent: /CAP_SYS_ADMIN/,
  },
  {
    name: "when root lacks CAP_SYS_ADMIN, and offers --rootless, which works",
    skip: noMapped,
    command: after(binfmt, [...without("sys_admin"), ...plain]),
    says: [
      /Root may not make namespaces here/,
      /container without the capability CAP_SYS_ADMIN/,
      outside,
      /--rootless: that works here/,
    ],
  },
  {
    name: "when root lacks CAP_SYS_ADMIN, and does not offer --rootless where it does not work",
    skip: noMapped,
    command: after(covered, [...without("sys_admin"), ...plain]),
    says: [/container without the capability CAP_SYS_ADMIN/, outside],
    silent: /--rootless: that works here/,
  },
  {
    name: "when a seccomp filter forbids to make namespaces",
    skip: noBubblewrap,
    command: filtered(plain, ...asContainersRoot),
    says: [/Root may not make namespaces here/, /seccomp filter/, outside],
  },
  {
    name: "--rootless when a seccomp filter forbids it and a capability is missing, which does not matter",
    skip: noBubblewrap,
    command: filtered(rootless, "--unshare-user"),
    says: [/--rootless does not work here/, /seccomp filter/, outside],
    silent: /CAP_SYS_ADMIN/,
  },
  {
    name: "in a container of Podman's",
    skip: noPodman,
    command: podman(plain),
    says: [/Root may not make namespaces here/, /CAP_SYS_ADMIN/, outside],
    silent: /--rootless: that works here/,
  },
  {
    name: "--rootless in a container of Podman's, for its /proc is covered",
    skip: noPodman,
    command: podman(rootless),
    says: [/--rootless does not work here/, /\/proc\/\w+/, outside],
    silent: /CAP_SYS_ADMIN/,
  },
  {
    name: "users to map when there is one alone",
    skip: noMapped,
    command: after(binfmt, users),
    says: [/users with the numbers 100000 to 165535/, /Invalid argument/, /uid_map/, outside],
  },
  {
    name: "to be nobody when there can be no user namespace",
    skip: noMapped,
    command: after(`${binfmt}; echo 0 > /proc/sys/user/max_user_namespaces`, users),
    says: [/may not be root in a user namespace here/, /user\.max_user_namespaces is 0/],
    silent: /Or be root/,
  },
  {
    name: "--rootless when it takes ids that root has not given to this user",
    skip: noMapped || missingTools("newuidmap"),
    command: after(`mount --bind /dev/null /etc/subuid; ${binfmt}`, [...users, "--rootless"]),
    says: [
      /--rootless/,
      /\/etc\/subuid gives you none/,
      /sudo usermod --add-subuids/,
      /Or leave out/,
    ],
  },
  {
    name: "--rootless when it takes such ids and there is no newuidmap",
    skip: noMapped || missingTools("newuidmap"),
    command: withoutTool("newuidmap", [...users, "--rootless"]),
    says: [/^newuidmap is missing\. .*\buidmap\b.*\bshadow-utils\b.*\bshadow-uidmap\b/m],
  },
  {
    name: "an overlay on an overlay",
    skip: noOwnMounts,
    command: after(onOverlay, overlay, ownMounts),
    says: [/cannot hold an overlay/, /is on an overlay itself/, /\bTMPDIR=?/],
  },
  {
    name: "a TMPDIR that is mounted noexec",
    skip: noOwnMounts,
    command: after('mount -t tmpfs -o noexec none "$TMPDIR"', plain, ownMounts),
    says: [/is mounted noexec/, /no program in it can be run/, /\bTMPDIR=?/],
  },
  {
    name: "a machine without procps",
    skip: noOwnMounts || missingTools("ps", "pgrep"),
    command: after(
      ["ps", "pgrep"].map((tool) => `mount --bind /dev/null ${findProgram(tool)}`).join("\n"),
      tsx(numbered("03"), "--yes"),
      ownMounts,
    ),
    says: [
      /^ps is missing\. .*\bprocps\b.*\bprocps-ng\b/m,
      /^pgrep is missing\. .*\bprocps\b.*\bprocps-ng\b/m,
    ],
  },
  {
    name: "a user without sudo, and offers --rootless, which works",
    skip: noMapped || missingTools("sudo"),
    command: after(noSudo, [...ordinary, ...plain]),
    says: [/you are not root, and there is no sudo/, /--rootless: that works here, without sudo/],
  },
  {
    name: "a user without sudo, and does not offer --rootless where it does not work",
    skip: noMapped || missingTools("sudo"),
    command: after(`${noSudo}; echo 1 > /proc/sys/user/max_user_namespaces`, [
      ...ordinary,
      ...plain,
    ]),
    says: [/you are not root, and there is no sudo/, /not work here either/],
    silent: /that works here/,
  },
  {
    name: "--yes when sudo wants a password, and offers --rootless",
    skip:
      cannotRun || (mode !== "rootless" && "this user's sudo wants none") || missingTools("sudo"),
    command: plain,
    says: [
      /with --yes nobody answers sudo, which says: .*password/,
      /sudo -v/,
      /leave out --yes/,
      /--rootless: that works here, without sudo/,
    ],
  },
];

test("a chapter refuses, with cause and remedy,", { concurrency: 4 }, async (t) => {
  await leavesNothing(async () => {
    const tests = refusals.map(({ name, skip = false, command, env, says, silent }) =>
      t.test(name, { skip }, async () => {
        const why = refused(await run(command, { env }));
        for (const pattern of says) assert.match(why, pattern);
        if (silent) assert.doesNotMatch(why, silent);
      }),
    );
    await Promise.all(tests);
  });
});

// ── Where the reader is asked

test(
  "at a terminal a chapter refuses at the first privileged line at the latest, and leaves nothing",
  { skip: noMapped },
  async () => {
    const command = after(binfmt, [...without("sys_admin"), ...tsx(fixture("walk"))]);
    const { status, output } = await leavesNothing(() =>
      atTerminal(command, {}, async (reader) => {
        const refusal = /Root may not make namespaces here[^]*--rootless: that works here/;
        while (!refusal.test(await reader.sees(/Stop here\n|Root may not[^]*without sudo/)))
          reader.types("\r");
      }),
    );
    assert.equal(status, 2, output);
    assert.doesNotMatch(output, /^sleep 1d/m);
  },
);

// ── Tools

describe("a chapter refuses to start, and names the packages, when there is no", () => {
  for (const [tool, index, ...packages] of [
    ["bash", 1],
    ["unshare", 1, "util-linux", "util-linux-misc"],
    ["nsenter", 2, "util-linux", "util-linux-misc"],
    ["chroot", 0, "coreutils"],
    ["mount", 3, "util-linux"],
    ["ps", 1, "procps", "procps-ng"],
    ["ip", 1, "iproute2", "iproute"],
    ["ldd", 1, "libc-bin", "glibc-common", "glibc", "musl-utils"],
  ] as [string, number, ...string[]][])
    test(tool, { skip: noOwnMounts || missingTools(tool) }, async () => {
      const command = withoutTool(tool, tsx(chapters[index]!, "--yes"));
      const why = refused(await leavesNothing(() => run(command)));
      const words = new Set(why.match(/[\w-]+/g));
      for (const word of [tool, ...packages, "Debian", "Ubuntu", "Fedora", "Arch", "Alpine"])
        assert.ok(words.has(word), `${word}: ${why}`);
    });

  test("tool that its header names, with its own packages", async () => {
    const why = refused(await leavesNothing(() => run(tsx(fixture("needs"), "--yes"))));
    assert.match(why, /^by-hand-no-such-tool is missing\. .*Debian and Ubuntu, .*\bone\b/m);
    assert.match(why, /^by-hand-nor-this is missing\. .*\bone\b.*\btwo\b.*\bthree\b.*\bfour\b/m);
  });
});

// ── BusyBox

/** What every chapter's lines and its clean-up use, and BusyBox has with fewer options. */
const lacking = ["find", "ps", "rm", "umount", "unshare", "cp", "xargs"];

for (const [made, make] of [
  ["links", (from: string, to: string) => symlinkSync(from, to)],
  ["files", (from: string, to: string) => copyFileSync(from, to)],
] as const)
  test(
    `a chapter refuses BusyBox's tools when they are ${made}, and names them`,
    { skip: noMapped || missingTools("busybox") },
    () =>
      leavesNothing(async () => {
        const tmp = temporary();
        const bin = join(dirname(tmp), "bin");
        mkdirSync(bin);
        for (const [which, tools] of [
          [numbered("02"), lacking],
          [numbered("03"), ["nsenter", "pgrep", "stat"]],
          [numbered("04"), ["mount"]],
        ] as const) {
          for (const tool of tools) make(findProgram("busybox")!, join(bin, tool));
          const told = await run(after(`PATH=${bin}:$PATH`, tsx(which, "--yes")));
          const why = refused(told);
          for (const tool of tools)
            assert.ok(why.includes(`${join(bin, tool)} is BusyBox's ${tool}`), why);
          assert.match(why, /The package is /);
        }
        rmSync(dirname(tmp), { recursive: true });
      }),
  );

// ── What is no hindrance

const fine: Pick<Refusal, "name" | "skip" | "command">[] = [
  {
    name: "TMPDIR is mounted nodev and nosuid",
    skip: cannotRun || noOwnMounts,
    command: after('mount -t tmpfs -o nodev,nosuid none "$TMPDIR"', overlay, ownMounts),
  },
  {
    name: "TMPDIR is on an overlay and the chapter makes none",
    skip: cannotRun || noOwnMounts,
    command: after(onOverlay, plain, ownMounts),
  },
  {
    name: "--rootless is given where root lacks CAP_SYS_ADMIN",
    skip: noMapped,
    command: after(binfmt, [...without("sys_admin"), ...rootless]),
  },
  {
    name: "it is in a container that was started with --privileged",
    skip: noPodman,
    command: podman(plain, "--privileged"),
  },
];

test("a chapter is told to its end, as it should, when", { concurrency: 4 }, async (t) => {
  await leavesNothing(async () => {
    const tests = fine.map(({ name, skip = false, command }) =>
      t.test(name, { skip }, async () => {
        toldToItsEnd(await run(command));
      }),
    );
    await Promise.all(tests);
  });
});
