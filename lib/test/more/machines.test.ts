/**
 * The chapters where the tools, the C library or the processor are others: in
 * trees of Debian's that .ci/run makes, each with a Node of its own. (Its own machine has Debian 12.)
 * Chapter 6, which takes cgroups of version 2 alone, is told in a kernel that is a process.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { after, describe, test } from "node:test";
import { findProgram } from "../../shell.ts";
import {
  chapters,
  checkout,
  file,
  inShort,
  leavesNothing,
  mode,
  run,
  temporary,
  whyNots,
} from "../testing.ts";

/** Where .ci/run has the trees, each as a tar; and a Node for each processor. */
const { BY_HAND_MACHINES: trees = "", BY_HAND_RUNTIMES: runtimes = "" } = process.env;

/** Those that this kernel allows; the trees all have the same one. */
const why = await whyNots();
const names = chapters.filter((path) => !why.get(path)).map((path) => basename(path));

/** Has this kernel start arm64's programs in an emulator, in this namespace only. */
const emulate = `mount -t binfmt_misc none proc/sys/fs/binfmt_misc
printf '%s' ':arm64:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:/usr/bin/qemu-aarch64-static:F' > proc/sys/fs/binfmt_misc/register`;

/** A user who may use sudo, and what runs a command as them. */
const sudoer = `echo "127.0.0.1 $(uname -n)" >> etc/hosts
chroot . useradd reader; echo "reader ALL=(ALL) NOPASSWD: ALL" > etc/sudoers`;
const as = "setpriv --reuid=reader --regid=reader --clear-groups env HOME=/";

/** Puts uutils' coreutils and sudo-rs in the place of GNU's and the other sudo, as Ubuntu 25.10 has. */
const uutils = `for tool in usr/lib/cargo/bin/coreutils/*; do
  rm -f "usr/bin/\${tool##*/}" "usr/sbin/\${tool##*/}"
  /bin/ln -s "../lib/cargo/bin/coreutils/\${tool##*/}" usr/bin
done
/bin/ln -sf ../lib/cargo/bin/sudo usr/bin/sudo
${sudoer}`;

/** What Alpine still has from BusyBox where the README's packages are installed. */
const busybox = `chroot . bash -c 'for tool in hostname ip sed; do ln -sf /bin/busybox $(type -P $tool); done'`;

/** What a kernel of its own (.ci/run-in-vm) is to have of this machine's /tmp. */
const shares = `mkdir -p "$1"
for directory in "${trees}" "${runtimes}"; do
  mkdir -p "$directory"; mount -t hostfs none "$directory" -o "$directory"
done`;

/** Between the two: who has which privilege, and what is told. */
const twoWays = ["", "--challenge --rootless"];

interface Machine {
  name: string;
  tree: string;
  node: string;
  names: string[];
  /** Lines of shell, in the tree, that make it what it is. */
  prepare?: string;
  emulate?: string;
  /** Whether it has a kernel of its own, with cgroups of version 2 alone. */
  vm?: boolean;
  /** A command that runs another as somebody else. */
  as?: string;
  /** Further flags; left out, the chapters are told by root, and not their challenges. */
  ways?: string[];
}

/** What takes cgroups of version 2 alone; newer Nodes bring that kernel down. */
const newKernel = { tree: "trixie", node: "node20", names: ["06-cgroup.ts"], vm: true };
const tsx =
  "export TSX_DISABLE_CACHE=1 NODE_OPTIONS=--import=/opt/by-hand/node_modules/tsx/dist/loader.mjs";

const machines: Machine[] = [
  { name: "Debian 13", tree: "trixie", node: "node24", names, ways: twoWays },
  {
    ...{ name: "Debian 13 with uutils and sudo-rs", tree: "trixie", node: "node24", names },
    ...{ prepare: uutils, as },
  },
  {
    ...{ name: "Debian 12 with BusyBox", tree: "bookworm", node: "node24", prepare: busybox },
    // Its `ip` knows no cables.
    names: names.filter((each) => !/network|container/.test(each)),
  },
  {
    name: "Debian 12 on arm64, emulated",
    tree: "arm64",
    node: "node24-arm64",
    // qemu has threads of its own, and who has those cannot join a mount namespace: setns(2). And it
    // passes on nothing to nf_tables, and no filter to seccomp. In a user namespace with one id there
    // are no others to map. (Chapter 10 has an overlay, too.)
    names: names.filter((each) => /unshare|image/.test(each)),
    emulate,
  },
  {
    ...{ name: "Debian 13 with a kernel of its own", ...newKernel, prepare: tsx },
    ways: ["", "--challenge"],
  },
  {
    ...{ name: "Debian 13 with a kernel of its own, by sudo", ...newKernel, as },
    prepare: `${tsx}\n${sudoer}`,
  },
];

/** Those that there are: a chapter may have no challenges, and one of chapter 11's takes Podman. */
const waysOf = (chapter: string, ways: string[]) =>
  ways.filter(
    (flags) =>
      !/challenge/.test(flags) ||
      (existsSync(file(`chapters/challenges/${chapter}`)) && !/container/.test(chapter)),
  );

const table: string[] = [];
after(() => table.length > 0 && console.log(table.join("\n")));

for (const machine of machines) {
  const { name, tree, node, names, emulate = "", prepare = "", as = "", vm, ways = [""] } = machine;
  const tar = join(trees, `${tree}.tar`);
  const program = join(runtimes, "node_modules", node, "bin/node");
  const skip =
    (mode !== "root" && "needs root") ||
    (!(trees && runtimes) && "BY_HAND_MACHINES or BY_HAND_RUNTIMES is not set") ||
    (vm && !findProgram("linux.uml") && "not installed: linux.uml (user-mode-linux)") ||
    (!existsSync(tar) && `there is no ${tar}`) ||
    (!existsSync(program) && `there is no ${program}`);

  describe(name, { skip }, () => {
    for (const chapter of names)
      for (const flags of waysOf(chapter, ways))
        test(`${chapter} --yes ${flags}`, () =>
          leavesNothing(async () => {
            // All of it happens on a file system in a mount namespace, and goes with it.
            const script = `set -e
              ${vm ? shares : ""}
              mount -t tmpfs none "$1"; cd "$1"; tar --extract --file "$2" --no-same-owner --exclude "./dev/*"
              mkdir -p old opt/by-hand dev proc sys; touch opt/node
              echo root:100000:65536 | tee etc/subuid > etc/subgid
              mount --bind "$3" opt/by-hand; mount --bind "$4" opt/node
              mount -t proc none proc; mount -t tmpfs none tmp
              ${emulate}
              ${prepare}
              mount --rbind /dev dev; mount --rbind /sys sys
              pivot_root . old; umount --lazy old
              echo "$(cat etc/debian_version), $(uname -m), $(unshare --version), $(ldd --version | head -n 1)"
              export LANG=C.UTF-8 TMPDIR=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin
              ${as} /opt/node "/opt/by-hand/chapters/${chapter}" --yes ${flags}
              ls -A /tmp | sed 's/^/left: /'`;
            const tmp = temporary();
            const namespaces = `unshare ${emulate && "--user --map-root-user"} --mount --pid --fork --kill-child`;
            const command = [
              ...(vm ? [file(".ci/run-in-vm")] : []),
              ...namespaces.split(" ").filter(Boolean),
              ...["bash", "-c", script, "-", tmp],
              ...[tar, checkout, program],
            ];
            const told = await run(command, {
              tmp,
              timeout: 300_000,
              env: { NO_COLOR: "1", VM_TREE: process.env.VM_TREE },
            });
            const { status, stdout } = told;
            table.push(`${chapter} --yes ${flags} on ${stdout.split("\n", 1)[0]}: ${status}`);
            assert.equal(status, 0, inShort(told));
            assert.match(stdout, /^(Told to the end|Solved)/m);
            assert.doesNotMatch(stdout, /^left: /m);
          }));
  });
}
