/**
 * 09 · privileges: further challenges
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { quote } from "zx/core";
import { read, readLink } from "../../lib/kernel.ts";
import type { Challenge } from "../../lib/options/challenge.ts";
import type { Process } from "../../lib/options/world.ts";

const sudo = process.getuid?.() === 0 ? "" : "sudo -n ";
const needs = ["perl (perl-base, perl-interpreter, perl, perl)"];

/** A field in /proc/PID/status: its first number, as it is written there. */
const field = ({ pid }: Process, name: string) =>
  new RegExp(`^${name}:\\s*(\\w+)`, "m").exec(read(`/proc/${pid}/status`))?.[1] ?? "";

/** Whether it is still there, so that its fields are. */
const lives = (process: Process) => field(process, "Uid") !== "";

/** A set of capabilities, a bit for each. */
const set = (process: Process, name: string) => BigInt(`0x${field(process, name) || 0}`);

/** Whether it is this script that a process runs, and not what has started it. */
const runs = (script: string) => (process: Process) =>
  /\/perl[\d.]*$/.test(process.program) && process.args.some((each) => each.endsWith(script));

// ── One capability

const NET_BIND_SERVICE = 1n << 10n;

const oneCapability: Challenge<Process> = {
  title: "One right of root's, and no other",
  goal: `'perl serve' listens on port 80, which takes the capability CAP_NET_BIND_SERVICE. Start it in a network
    namespace of its own with that capability and no other, and so that nothing that it starts can have
    another either.`,
  needs,
  async prepare({ say, $ }) {
    say`(Root without capabilities may read only what everyone may. So let them, in here.)`;
    await $`echo 'socket S, 2, 1, 0; bind S, pack "Snx12", 2, 80 or die "port 80: $!"; listen S, 1; sleep 600' > serve; chmod go+rx . serve`;
  },
  subjects: ({ processes }) => processes.filter(runs("serve")).filter(lives),
  nothing: "'perl serve' does not run.",
  criteria: [
    {
      text: "it listens on port 80, in a network namespace of its own",
      met(process, { host }) {
        if (process.namespaces.net === host.namespaces.net)
          return "Its network namespace is the host's.";
        return (
          /:0050 0+:0000 0A /.test(read(`/proc/${process.pid}/net/tcp`)) ||
          "Nobody listens on port 80 there."
        );
      },
    },
    {
      text: "the capability is effective, and no other is effective or permitted",
      met: (process) =>
        ["CapEff", "CapPrm"].every((name) => set(process, name) === NET_BIND_SERVICE) ||
        `CapPrm is ${field(process, "CapPrm")}, CapEff ${field(process, "CapEff")}.`,
    },
    {
      text: "what it starts can have no other: by its bounding set, or by no_new_privs",
      met: (process) =>
        ((set(process, "CapBnd") | set(process, "CapInh")) & ~NET_BIND_SERVICE) === 0n ||
        field(process, "NoNewPrivs") === "1" ||
        `CapBnd is ${field(process, "CapBnd")}, and NoNewPrivs 0.`,
    },
  ],
  hints: [
    `The bounding set is what root gets with each program that it starts. The chapter left fourteen in it.`,
    `'setpriv' with --bounding-set=-all,+net_bind_service and --inh-caps=-all. What must come before it,
    since it takes a capability that is gone then?`,
    `'unshare --net' makes the network namespace. Then 'setpriv', then 'perl serve'.`,
  ],
  async solution({ say, enter }) {
    say`First what takes more rights, then the fewer.`;
    await enter({ changes: "a shell of root's with one capability, in a network namespace" })`
      sudo unshare --net setpriv --bounding-set=-all,+net_bind_service --inh-caps=-all bash
      grep -E 'Cap|NoNew' /proc/self/status
      timeout 4 perl serve || true
    `;
  },
  afterwards: `That is '--cap-drop ALL --cap-add NET_BIND_SERVICE'. An ordinary user can have it, too: as an
    ambient capability, with --reuid and --ambient-caps. Docker has never handed those out, so '--user'
    there loses every capability; but in its network namespaces everyone may listen on every port, by
    the setting 'net.ipv4.ip_unprivileged_port_start'.`,
};

// ── A covered file

const [SYS_PTRACE, SYS_ADMIN] = [1n << 19n, 1n << 21n];

/** Whether a process has no such right, and never will. */
const lacks = (process: Process, right: bigint) =>
  ["CapEff", "CapPrm", "CapInh", "CapBnd"].every((name) => (set(process, name) & right) === 0n);

const covers = ({ mounts }: Process, directory: string) =>
  mounts.some(({ point }) => point === join(directory, "secret"));

const coveredFile: Challenge<Process> = {
  title: "A file that root cannot read",
  goal: `Start a process of root's (user 0, in the machine's user namespace) that has the machine's / and cannot
    read 'secret', as something lies on top of it. It must not be able to take that off, nor to look past it. For everyone else the file is as
    it was.`,
  async prepare({ $ }) {
    await $`echo swordfish > secret`;
  },
  remember: "cat secret",
  subjects: ({ processes, host }) =>
    processes.filter((each) => each.namespaces.mnt !== host.namespaces.mnt && lives(each)),
  nothing: "All of your processes are in the host's mount namespace.",
  criteria: [
    {
      text: "for a process of root's, whose / is the machine's, 'secret' is covered",
      met(process, { host, directory, memory, read }) {
        if (field(process, "Uid") !== "0") return `It is user ${field(process, "Uid")}'s.`;
        if (process.root !== host.root) return "Its / is not the machine's.";
        if (!covers(process, directory)) return "Nothing is mounted on its 'secret'.";
        const file = `/proc/${process.pid}/root${join(directory, "secret")}`;
        return read(`${sudo}cat ${quote(file)}`) !== memory || "It can still be read there.";
      },
    },
    {
      text: "it may not unmount, and never will: it lacks CAP_SYS_ADMIN",
      met: (process) =>
        lacks(process, SYS_ADMIN) ||
        `CapEff is ${field(process, "CapEff")}, CapBnd ${field(process, "CapBnd")}.`,
    },
    {
      text: "nor may it look through others' eyes, by /proc/1/root: it lacks CAP_SYS_PTRACE, or its /proc has only processes for which 'secret' is covered, too",
      met(process, { host, processes, directory }) {
        if (lacks(process, SYS_PTRACE)) return true;
        const { pid } = process.namespaces;
        const alike = processes
          .filter(({ namespaces }) => namespaces.pid === pid)
          .every((each) => covers(each, directory) && lacks(each, SYS_ADMIN));
        return (
          (pid !== host.namespaces.pid && process.procShows === pid && alike) ||
          `In CapBnd, ${field(process, "CapBnd")}, bit 19 is set, and its /proc has processes for which 'secret' is not covered.`
        );
      },
    },
    {
      text: "for the host, 'secret' is as it was",
      met: ({}, { read, memory }) =>
        read("cat secret") === memory || "On the host, it cannot be read either.",
    },
  ],
  hints: [
    `'mount --bind /dev/null secret' covers it, and must not do so for everyone.`,
    `Root of the same mount namespace may unmount it again. Which capability does that take?`,
    `/proc/1/root is the / of process 1, in its mount namespace. To look into it takes CAP_SYS_PTRACE, as
    process 1 has capabilities that one lacks oneself.`,
  ],
  async solution({ say, enter }) {
    say`Cover it in a mount namespace of its own, and only then give up both capabilities.`;
    await enter({
      changes: "a root shell with two capabilities fewer, for which 'secret' is empty",
    })`
      sudo unshare --mount bash -c 'mount --bind /dev/null secret; exec setpriv --bounding-set=-sys_admin,-sys_ptrace --inh-caps=-all bash'
      umount secret
      ls /proc/1/root
      ls -l secret; cat secret
    `;
  },
  afterwards: `A container has a /proc of its own, so there are no such eyes; and Docker's fourteen have
    neither of the two. Two more ways past a mount take other capabilities: to read the disk itself, CAP_MKNOD
    (which Docker leaves, and forbids the devices by cgroup), and to open a file by its number,
    CAP_DAC_READ_SEARCH (which an early Docker did leave, and was escaped from).`,
};

// ── Landlock

const landlock: Challenge<Process> = {
  title: "Lock yourself out of your home, without being root",
  goal: `'perl look' opens your home directory and /usr, again and again. Start it (without 'sudo', and with no
    namespace of its own) so that /usr can be opened and your home cannot, though it is yours. What an
    ordinary user can do that with is Landlock: see landlock(7).`,
  needs,
  tries: ["landlock"],
  async prepare({ say, $ }) {
    say`It keeps open what it can, and so the kernel can tell. (Who has no home gets /, as from login(1).)`;
    await $`test -d "$HOME" || HOME=/`;
    await $`echo 'for (1 .. 6000) { opendir $home[$_ % 2], $ENV{HOME}; opendir USR, "/usr"; select undef, undef, undef, .1 }' > look`;
  },
  remember: `id -u; echo "$HOME"; realpath "$HOME"`,
  subjects: ({ processes }) => processes.filter(runs("look")),
  nothing: "'perl look' does not run.",
  criteria: [
    {
      text: "it runs as you, with your HOME, in the namespaces of the host",
      met(process, { host, memory }) {
        const [uid, home] = memory.split("\n");
        if (field(process, "Uid") !== uid) return `It is user ${field(process, "Uid")}'s.`;
        const variables = read(`/proc/${process.pid}/environ`, "utf8").split("\0");
        if (!variables.includes(`HOME=${home}`)) return "Its HOME is another.";
        return (
          ["mnt", "user"].every((type) => process.namespaces[type] === host.namespaces[type]) ||
          "It has a mount or user namespace of its own."
        );
      },
    },
    {
      text: "it has /usr open",
      met: (process) => opened(process).includes("/usr") || "It could not open /usr.",
    },
    {
      text: "it could not open your home, and you can",
      met(process, { memory }) {
        const home = memory.split("\n")[2]!;
        if (opened(process).length === 0) return "What it has open cannot be seen.";
        if (opened(process).includes(home)) return `It has ${home} open.`;
        return canOpen(home) || "Nor can you.";
      },
    },
    {
      text: "nothing that it starts gets out: no_new_privs, which Landlock asks of ordinary users",
      met: (process) => field(process, "NoNewPrivs") === "1" || "NoNewPrivs is 0.",
    },
  ],
  hints: [
    `Landlock is three system calls: landlock_create_ruleset (444) says which rights are taken away,
    landlock_add_rule (445) gives them back below a directory, landlock_restrict_self (446) begins. 'perl'
    has 'syscall', as in the chapter's filter.`,
    `The rights are bits: 4 is to read files, 8 to read directories. 'pack "Q", 12' is the first argument of 444,
    8 its size. 445 takes the number that 444 returned, the type 1, and 'pack "Ql", 12, fileno D', where D is an
    open directory; 446 takes that number. A 0, for flags, comes last in all three.`,
    `Give them back below each directory in / but the one that your home is in, and below the one where you
    are. Then 446, then 'exec @ARGV'; all of it after 'setpriv --no-new-privs'.`,
  ],
  async solution({ say, $, enter }) {
    say`'lock' takes both rights away, and gives them back for all that is in /, except where your home is,
      and for this directory.`;
    await $`echo '$rights = pack "Q", 12; ($rules = syscall 444, $rights, 8, 0) >= 0 or die "no Landlock: $!"; $home = shift;' > lock`;
    await $`echo 'for (grep { index "$home/", "$_/" } glob("/*"), ".") { open D, "<", $_ or next; $rule = pack "Ql", 12, fileno D; syscall 445, $rules, 1, $rule, 0 }' >> lock`;
    await $`echo 'syscall(446, $rules, 0) and die "not locked: $!"; exec @ARGV' >> lock`;
    await enter`
      setpriv --no-new-privs perl lock "$(realpath "$HOME")" bash
      ls "$HOME"
      timeout 4 perl look || true
    `;
  },
  afterwards: `It needs no root, no namespace and nobody's help, and /proc has no field for it. (A 'setpriv' of
    util-linux 2.40 or newer does it with --landlock-access and --landlock-rule.) Programs lock
    themselves in with it that handle what strangers send, such as archives; and an agent or a build can be
    given one directory and no more. A container's walls are made from outside, before the program starts;
    these are made by the program itself, with no way back.`,
};

/** The paths of what a process has open, if that can be seen. */
function opened({ pid }: Process): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readLink(`/proc/${pid}/fd/${fd}`));
  } catch {
    return [];
  }
}

/** Whether whoever judges, who is not locked in, can open a directory. */
function canOpen(directory: string): boolean {
  try {
    readdirSync(directory);
    return true;
  } catch {
    return false;
  }
}

export const challenges: Challenge[] = [oneCapability, coveredFile, landlock];
