/**
 * 11 · container: further challenges
 */
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { quote } from "zx/core";
import { recorded } from "../../lib/facts.ts";
import { read } from "../../lib/kernel.ts";
import type { Challenge } from "../../lib/options/challenge.ts";
import type { Process, World } from "../../lib/options/world.ts";
import type { Verbs } from "../../lib/verbs.ts";
import { plugOf, type Plug } from "./07-network.ts";

const ours = {
  changes: "containers of your script's",
  undo: "by 'rm', when the challenge ends",
};
const looks = { changes: "nothing, it only looks" };
const home = fileURLToPath(new URL("../..", import.meta.url));

/** What a line begins with that is root's. */
const sudo = process.getuid?.() === 0 ? "" : "sudo -n ";

/** Takes the script out of the chapter, and makes two layers for it. */
async function makeScript({ say, $, rootfs }: Verbs) {
  say`Two layers, and your script, as the chapter writes it.`;
  await rootfs("base", ..."bash cat ls perl sleep touch".split(" "));
  await $`mkdir app; echo "greetings from app" > app/greeting`;
  await $({
    changes: "two files in this directory",
    undoneBy: "test ! -x ${PWD@Q}/by-hand || sudo ${PWD@Q}/by-hand rm --all",
  })`(cd ${quote(home)}; TSX_DISABLE_CACHE=1 node --import tsx chapters/11-container.ts --print) > chapter; sed -n "/> by-hand <<'END'$/,/^END$/p" chapter | grep -vE "^END$|> by-hand <<'END'$" > by-hand; chmod +x by-hand`;
  await $`./by-hand`;
}

/** The processes that are the first in a container of the script's. */
const containers = ({ processes }: World) =>
  processes.filter(
    ({ numbers, mounts }) =>
      numbers.length > 1 &&
      numbers.at(-1) === 1 &&
      mounts.some(({ point, type }) => point === "/" && type === "overlay"),
  );

// ── Two more options

/** A line of /proc/PID/status. */
const status = ({ pid }: Process, name: string) =>
  new RegExp(`^${name}:\\s*(\\w+)`, "m").exec(read(`/proc/${pid}/status`))?.[1] ?? "";

/** The bit of CAP_SYS_ADMIN, which mount(2) asks for. See capabilities(7). */
const sysAdmin = 1n << 21n;

const options: Challenge<Process> = {
  title: "Teach your script --read-only and a volume",
  goal: `Change 'by-hand' so that a container's / is read-only, and so that the directory 'volume' is its
    /data, where it may write. Then run one: with its filter and its capabilities as before.`,
  async prepare(verbs) {
    await makeScript(verbs);
    await verbs.$`mkdir volume`;
  },
  subjects: containers,
  nothing: "No container of your script's runs: no process is the first in a pid namespace.",
  criteria: [
    {
      text: "a container runs, and its / is read-only",
      met: ({ mounts }) =>
        mounts.findLast(({ point }) => point === "/")?.readOnly || "It can write to its /.",
    },
    {
      text: "its /data is 'volume', and it can write to it",
      met({ mounts }, { directory }) {
        const data = mounts.findLast(({ point }) => point === "/data");
        if (!data?.what.endsWith(`${directory.split("/").at(-1)}/volume`))
          return "'volume' is not mounted on its /data.";
        return !data.readOnly || "Its /data is read-only.";
      },
    },
    {
      text: "it cannot undo that: it may not mount, and there is a filter",
      met(process) {
        const effective = status(process, "CapEff");
        if (BigInt(`0x${effective || 0}`) & sysAdmin) return `Its CapEff is ${effective}.`;
        return status(process, "Seccomp") === "2" || "It has no filter.";
      },
    },
  ],
  hints: [
    `Both are mounts. One comes before everything else in the container's directory; the other after
    everything that is still to be written to /.`,
    `In 'inside', 'merged' is complete after the line with 'mount -t overlay': so there make 'data', and
    mount 'volume' on it (--bind).`,
    `In 'last' nothing is written to / any more. 'mount -o remount,bind,ro' concerns one mount alone: the
    volume stays as it is, and so do the three files in /etc, as with Docker.`,
  ],
  async solution({ say, $ }) {
    say`Two more lines: the volume, as soon as there are the layers, and the remount, as the last one.`;
    await $`sed -i -e '/mount -t overlay/a mkdir "$NAME/merged/data"; mount --bind volume "$NAME/merged/data"' -e '/^last() {/a mount -o remount,bind,ro "$NAME/merged"' by-hand; grep -A 1 -E 't overlay|^last' by-hand`;
    await $(ours)`BOX=$(sudo ./by-hand run app:base sleep 1d); echo $BOX`;
    await $({
      changes: "a file in 'volume'",
      nothrow: true,
    })`sudo ./by-hand exec $BOX bash -c 'touch /data/new /new'; ls -l volume`;
    await $({ changes: "the container is gone" })`sudo ./by-hand rm --all`;
  },
  afterwards: `That is 'docker run --read-only -v ./volume:/data'. As options of the script they are two
    variables, which 'run' exports. In chapter 5 root could undo the same by one more remount: here the right to
    is gone, and the filter refuses the call besides.`,
};

// ── Two networks

/** Two containers, and a third. */
interface Trio {
  pair: [Plug, Plug];
  third: Plug;
}

/** All such threes, by their networks. */
function trios(world: World): Trio[] {
  const plugs = containers(world).flatMap(({ pid }) => plugOf(pid));
  return plugs.flatMap((third) => {
    const rest = plugs.filter((each) => each !== third);
    return rest.flatMap((one, at) =>
      rest.slice(at + 1).map((other): Trio => ({ pair: [one, other], third })),
    );
  });
}

/** Its address in the script's network. */
const addressOf = ({ addresses }: Plug) =>
  addresses.find((each) => each.startsWith("10.0.9.")) ?? "none";

const apart: Challenge<Trio> = {
  title: "Two containers that talk, and a third that they cannot hear",
  goal: `Your script has one bridge for all. Start three containers with it: two that reach each other,
    and a third with an address, too, that asks for one of the two and gets no answer. Send a packet with
    'sudo ./by-hand exec NAME --perl "$(cat ask)" ADDRESS'.`,
  async prepare(verbs) {
    await makeScript(verbs);
    const { say, $ } = verbs;
    say`Whoever sends a packet asks first who has that address. All answers are in /proc/PID/net/arp.`;
    await $`echo 'socket S, 2, 2, 17; for (1..3) { send S, "hello", 0, pack "SnC4x8", 2, 9, split /[.]/, $ARGV[2]; sleep 1 }' > ask`;
  },
  subjects: trios,
  nothing: "There are no three containers: fewer processes are the first in a pid namespace.",
  criteria: [
    {
      text: "two containers have found each other",
      met({ pair: [one, other] }) {
        const found =
          one.neighbours.includes(addressOf(other)) && other.neighbours.includes(addressOf(one));
        return found || `${addressOf(one)} and ${addressOf(other)} have not.`;
      },
    },
    {
      text: "a third has an address in 10.0.9.0/24, and 'eth0'",
      met: ({ third }) =>
        (third.interfaces.includes("eth0") && addressOf(third) !== "none") ||
        `It has ${third.interfaces.join(" and ")}, and its address is ${addressOf(third)}.`,
    },
    {
      text: "that has asked for one of the two, and nobody has answered",
      met({ pair, third }) {
        const wanted = pair.map(addressOf).filter((each) => each !== addressOf(third));
        const answered = third.neighbours.find((each) => wanted.includes(each));
        if (answered) return `${answered} has answered.`;
        return (
          third.missed.some((each) => wanted.includes(each)) ||
          `It has not asked for ${wanted.join(" or ")}.`
        );
      },
    },
  ],
  hints: [
    `Where does the script keep its bridge? What does a second script do, in a directory of its own?`,
    `Or unplug a cable: the bridge is in 'nsenter --net=bridge', and each container's cable is 'v$NAME'.`,
    `'mkdir apart; cp -r by-hand base app apart; sudo apart/by-hand run app:base sleep 1d'.`,
  ],
  async solution({ say, $ }) {
    say`The bridge is beside the script. So a script in another directory has another one.`;
    await $(
      ours,
    )`ONE=$(sudo ./by-hand run app:base sleep 1d); TWO=$(sudo ./by-hand run app:base sleep 1d)`;
    await $({
      ...ours,
      undoneBy: "test ! -x ${PWD@Q}/apart/by-hand || sudo ${PWD@Q}/apart/by-hand rm --all",
    })`mkdir apart; cp -r by-hand base app apart; THIRD=$(sudo apart/by-hand run app:base sleep 1d)`;
    await $(looks)`sudo ./by-hand ps; sudo apart/by-hand ps`;
    await $(
      looks,
    )`sudo ./by-hand exec $ONE --perl "$(cat ask)" 10.0.9.3; sudo apart/by-hand exec $THIRD --perl "$(cat ask)" 10.0.9.3; sudo cat $(for IT in $ONE $TWO apart/$THIRD; do echo /proc/$(cat $IT/pid)/net/arp; done)`;
    await $({
      changes: "the containers are gone",
    })`sudo ./by-hand rm --all; sudo apart/by-hand rm --all`;
  },
  afterwards: `That is 'docker network create apart', and 'docker run --network apart'. The same addresses in
    both are no trouble: no cable leads from one bridge to the other. Docker gives each network addresses of
    its own, for its bridges are all in the machine's network.`,
};

// ── The same as an OCI bundle

/** What runc knows of the container that 'box' has started. */
const knownToRunc = ({ directory, read }: World) => {
  const state = `${directory}/state/${basename(directory)}/state.json`;
  return JSON.parse(read(`${sudo}cat ${quote(state)}`) || "{}") as { init_process_pid?: number };
};

/** Docker's capabilities, as far as this machine's root has them. */
const rights = () =>
  BigInt(`0x${/^CapBnd:\s*(\w+)/m.exec(recorded().text)![1]}`) &
  BigInt(`0x${/^CapBnd:\s*(\w+)/m.exec(read("/proc/self/status"))![1]}`);

const bundle: Challenge<Process> = {
  title: "Say the same to runc: an OCI bundle",
  goal: `Docker does not make a container either: it writes down what it wants, and has runc make it. 'runc spec'
    writes a 'config.json' for fewer rights, no filter and a / that is read-only. Change it so that 'sudo
    bash box' starts 'sleep 1d', without a terminal, with what Docker would give it: its fourteen capabilities, a
    filter, a / that can be written to, and no no_new_privs.`,
  needs: ["runc"],
  async prepare({ say, $, rootfs }) {
    say`A bundle is a directory with a root file system, and with a file that says how to start a program in it.`;
    await rootfs("rootfs", ..."bash cat grep ls nsenter sleep stat tr".split(" "));
    await $`runc spec; head -n 8 config.json`;
    await $({
      changes: "a file in this directory; and later a container of runc's",
      undoneBy:
        "test ! -d ${PWD@Q}/state || { sudo runc --root ${PWD@Q}/state delete --force ${PWD##*/}; sudo timeout 9 bash -c 'until find /sys/fs/cgroup -name ${PWD##*/} -delete; do sleep .1; done' 2> /dev/null; }",
    })`cat > box <<'END'
    runc --root state run --detach --bundle . "$(basename "$PWD")" < /dev/null &> log || { cat log; exit 1; }
    END`;
  },
  subjects: ({ processes }) =>
    processes.filter(({ numbers }) => numbers.length > 1 && numbers.at(-1) === 1),
  nothing: "No container runs: no process is the first in a pid namespace.",
  criteria: [
    {
      text: "runc has started it: it is in 'state'",
      met: ({ pid }, world) =>
        knownToRunc(world).init_process_pid === pid || "It was not started by 'box'.",
    },
    {
      text: "its mnt, uts, ipc and net are not the host's, and it can write to its /",
      met({ mounts, namespaces }, { host }) {
        const shared = ["mnt", "uts", "ipc", "net"].filter(
          (type) => namespaces[type] === host.namespaces[type],
        );
        if (shared.length > 0) return `It has the host's ${shared.join(" and ")}.`;
        const root = mounts.findLast(({ point }) => point === "/");
        return !root?.readOnly || "Its / is read-only.";
      },
    },
    {
      text: "CapEff and CapBnd are Docker's",
      met(process) {
        const other = ["CapEff", "CapBnd"].find(
          (name) => BigInt(`0x${status(process, name) || 0}`) !== rights(),
        );
        return (
          !other || `Its ${other} is ${status(process, other)}, Docker's ${rights().toString(16)}.`
        );
      },
    },
    {
      text: "it has a filter; and a setuid program may still be root's",
      met(process) {
        if (status(process, "Seccomp") !== "2") return "It has no filter.";
        return status(process, "NoNewPrivs") === "0" || "Its NoNewPrivs is 1.";
      },
    },
  ],
  hints: [
    `There are four changes, and 'args' for a program that lasts. 'terminal' is false, for 'box' has none to
    give.`,
    `Docker's capabilities are in chapter 9: bounding, effective and permitted. 'noNewPrivileges' and 'readonly'
    are false.`,
    `"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["unshare", "mount"],
    "action": "SCMP_ACT_ERRNO"}]}}. With --rootless the mount of /dev/pts can have no 'gid=5'.`,
  ],
  async solution({ say, $, beside }) {
    say`This course runs on node, which reads JSON. Limits are asked for only where you are the machine's
      root, and all cgroups are of version 2.`;
    await $`cat > change.js <<'END'
    const { existsSync, readFileSync, writeFileSync } = require("fs"), config = JSON.parse(readFileSync("config.json"));
    const machine = readFileSync("/proc/self/uid_map", "utf8").includes("4294967295"), { linux } = config;
    const rights = ("CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT" +
      " MKNOD AUDIT_WRITE SETFCAP").split(" ").map((name) => "CAP_" + name);
    Object.assign(config.process, { terminal: false, args: ["sleep", "1d"], noNewPrivileges: false,
      env: [config.process.env[0], "HOSTNAME=runc", "HOME=/root"],
      capabilities: { bounding: rights, effective: rights, permitted: rights } });
    config.root.readonly = false;
    const names = ("acct add_key bpf clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen" +
      " fspick get_mempolicy init_module kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind" +
      " mount mount_setattr move_mount move_pages name_to_handle_at open_by_handle_at open_tree" +
      " perf_event_open pidfd_getfd pivot_root pkey_alloc pkey_free pkey_mprotect process_madvise" +
      " process_vm_readv process_vm_writev quotactl quotactl_fd reboot request_key set_mempolicy" +
      " setdomainname sethostname setns settimeofday swapoff swapon syslog umount2 unshare userfaultfd").split(" ");
    linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ action: "SCMP_ACT_ERRNO", names },
      { action: "SCMP_ACT_ERRNO", errnoRet: 38, names: ["clone3"] }] };
    if (machine) linux.cgroupsPath = "/" + process.argv[2];
    if (machine && existsSync("/sys/fs/cgroup/cgroup.controllers"))
      linux.resources = { memory: { limit: 64 << 20 }, pids: { limit: 100 }, cpu: { quota: 50000, period: 100000 } };
    for (const mount of config.mounts)
      if (!machine) mount.options = mount.options?.filter((each) => each !== "gid=5");
    writeFileSync("config.json", JSON.stringify(config, null, 2));
    END`;
    await $`node change.js "$(basename "$PWD")"; grep -A 9 '"capabilities"' config.json`;
    await $({
      changes: "a container of runc's",
    })`sudo bash box; PID=$(sudo grep -o '"init_process_pid":[0-9]*' "state/$(basename "$PWD")/state.json" | cut -d: -f2); echo $PID`;
    await beside('sudo nsenter --target "$PID" --mount --uts --ipc --net --pid bash');
    await $({
      changes: "the container is gone",
    })`sudo runc --root state delete --force "$(basename "$PWD")"`;
  },
  afterwards: `A runtime makes no cable, and mounts no /etc/hosts unless it is told to: that is what Docker does
    around it. Other runtimes take the same bundle: crun in C, youki in Rust, Kata with a machine for each container.`,
};

// ── Be Podman's runtime

/** What Podman's helper says of a container that it has started: the runtime and the bundle. */
function conmonOf({ parent }: Process, world: World) {
  const args = world.process(parent)?.args ?? [];
  const after = (option: string) => args[args.indexOf(option) + 1] ?? "";
  return args[0]?.endsWith("conmon") ? { runtime: after("-r"), bundle: after("-b") } : undefined;
}

const runtime: Challenge<Process> = {
  title: "Be Podman's runtime (the hardest)",
  goal: `Podman does not make a container: it writes down what it wants in 'config.json', in a directory that
    is called a bundle, and calls a runtime. Write one: 'runtime' is called with 'create --bundle DIR
    --pid-file FILE ID', and makes the container without starting its program: that is what 'start ID' does. Then there
    are 'state ID', 'kill ID SIGNAL' and 'delete ID'. Try it: 'sudo bash box sleep 1d'.`,
  needs: ["podman", "perl"],
  tries: ["podman"],
  async prepare({ say, $, rootfs }) {
    await rootfs("rootfs", ..."bash cat ls ps sleep".split(" "));
    await $`mkdir -p rootfs/proc`;
    say`'box' asks Podman for a container without a network, whose name is that of this directory.`;
    await $({
      changes: "a file in this directory; and later a container of Podman's",
      undoneBy:
        'test ! -d ${PWD@Q} || install /bin/true ${PWD@Q}/runtime; sudo pkill -9 -f ${PWD@Q}[/]runtime; for TRY in 1 2; do sudo podman rm --force --ignore --time 0 $(basename "$PWD") && break; done',
    })`cat > box <<'END'
    OPTION=--rm; [ "$1" != --detach ] || { OPTION='--rm --detach'; shift; }
    exec podman --runtime "$PWD/runtime" --cgroup-manager cgroupfs run $OPTION --name "$(basename "$PWD")" \
      --cgroups no-conmon --network none --rootfs "$PWD/rootfs" "$@"
    END`;
  },
  subjects: (world) => world.processes.filter((each) => conmonOf(each, world)),
  nothing: "Podman has started nothing: no process has a parent 'conmon'.",
  criteria: [
    {
      text: "Podman runs it by a runtime of yours: its parent is 'conmon', and that names a file in here",
      met(process, world) {
        const named = conmonOf(process, world)!.runtime;
        return named.startsWith(`${world.directory}/`) || `It names ${named}.`;
      },
    },
    {
      text: "it is the first in a pid namespace, and its mnt, uts, ipc and net are not the host's either",
      met({ numbers, namespaces }, { host }) {
        if (numbers.at(-1) !== 1 || numbers.length === 1) return `It is ${numbers.at(-1)}.`;
        const shared = ["mnt", "uts", "ipc", "net"].filter(
          (type) => namespaces[type] === host.namespaces[type],
        );
        return shared.length === 0 || `It has the host's ${shared.join(" and ")}.`;
      },
    },
    {
      text: "its / is 'rootfs', and nothing of the old one is left",
      met({ pid, mounts, root }, { host, read }) {
        if (root === host.root) return "Its / is the / of the host.";
        if (!mounts.some(({ point }) => point === "/")) return "Its / is a directory in a mount.";
        const old = host.mounts.findLast(({ point }) => point === "/")?.what;
        const left = mounts.find(({ what }) => what === old);
        if (left) return `The host's / is on ${left.point}.`;
        const joined = /\d+/.exec(read(`${sudo}nsenter --target ${pid} --mount ls -di /`))?.[0];
        return root.endsWith(`:${joined}`) || "Whoever joins its mount namespace finds another /.";
      },
    },
    {
      text: "it is the program that 'config.json' asks for, with the variables that it asks for",
      met(process, world) {
        const { bundle } = conmonOf(process, world)!;
        const text = world.read(`${sudo}cat ${quote(`${bundle}/config.json`)}`);
        const asked = (JSON.parse(text || "{}") as { process?: Asked }).process;
        const args = process.args.filter(Boolean);
        if (args.join(" ") !== asked?.args.join(" ")) return `It is ${args.join(" ")}.`;
        const its = world
          .read(`${sudo}cat /proc/${process.pid}/environ`)
          .split("\0")
          .filter(Boolean);
        // A runtime may add HOME: runc does, by what /etc/passwd says.
        const other = its.filter((each) => !/^HOME=/.test(each) && !asked.env.includes(each));
        const missing = asked.env.filter((each) => !its.includes(each));
        if (missing.length > 0) return `It has no ${missing[0]}.`;
        return other.length === 0 || `Nobody has asked for ${other[0]}.`;
      },
    },
  ],
  hints: [
    `First a 'runtime' that writes down what it is asked: 'echo "$*" >> asked', by its full path.`,
    `'create' has to end, and 'conmon' becomes the parent of what it leaves: it reaps orphans. With
    'unshare --fork' there is a process between the two; once the container's number is in FILE, kill that.`,
    `What waits for 'start' can read from a fifo. 'perl -MJSON::PP' decodes JSON: $c->{root}{path},
    @{$c->{process}{args}} and @{$c->{process}{env}}.`,
    `The last steps are those of chapter 11: pivot_root, umount, chdir, and exec, all in one perl.`,
  ],
  async solution({ say, $ }) {
    say`'create' starts a process that makes everything ready, and then reads from a fifo. 'start' writes to it.`;
    await $`cat > runtime <<'END'
    #!/bin/bash
    set -euo pipefail; ME=$(realpath "$0"); BUNDLE='' FILE='' WORDS=()
    while [ $# -gt 0 ]; do case $1 in
      --bundle) BUNDLE=$2; shift ;; --pid-file) FILE=$2; shift ;;
      --log | --log-format | --root) shift ;; -*) ;; *) WORDS+=("$1") ;; esac; shift; done
    set -- "\${WORDS[@]}"; ITS=$(dirname "$ME")/containers/$2
    case $1 in
    create)
      mkdir -p "$ITS"; mkfifo "$ITS/go"; ln -s "$BUNDLE" "$ITS/bundle"
      unshare --mount --uts --ipc --net --pid --fork "$ME" inside "$2" & disown
      timeout 20 sh -c "until [ -s '$ITS/pid' ]; do sleep .1; done"; kill -9 $!; cat "$ITS/pid" > "$FILE" ;;
    start) echo > "$ITS/go" ;;
    state) printf '{"ociVersion":"1.0.2","id":"%s","pid":%s,"status":"%s"}' "$2" "$(cat "$ITS/pid")" \
      "$([ -d "/proc/$(cat "$ITS/pid")" ] && echo running || echo stopped)" ;;
    kill) kill "-\${3:-TERM}" "$(cat "$ITS/pid")" ;;
    delete) rm -rf "$ITS" ;;
    END`;
    say`That process is the first in its namespaces. It takes the last steps as in the chapter, by one perl.`;
    await $`cat >> runtime <<'END'
    inside)
      read -r PID _ < /proc/self/stat; cd "$ITS/bundle"; exec 3<> "$ITS/go"; exec perl -MJSON::PP -e '
        open CONFIG, "config.json"; $c = decode_json(join "", <CONFIG>); $root = $c->{root}{path};
        sub run { system(@_) and die "@_ failed\n" }
        run qw(mount --bind), $root, $root; chdir $root; run qw(mount -t proc proc proc);
        open PID, ">", "$ARGV[0]/pid"; print PID $ARGV[1]; close PID;
        open GO, "<&=3"; sysread GO, $_, 1; close GO;
        ($pivot, $umount) = qx(uname -m) =~ /x86_64/ ? (155, 166) : (41, 39);
        $here = "."; syscall $pivot, $here, $here; syscall $umount, $here, 2; chdir "/";
        %ENV = map { split /=/, $_, 2 } @{$c->{process}{env}};
        exec @{$c->{process}{args}} or die "$!\n"' "$ITS" "$PID" ;;
    esac
    END`;
    await $`chmod +x runtime`;
    await $(ours)`sudo bash box bash -c 'echo I am $$; cat /proc/mounts'`;
    await $(ours)`sudo bash box --detach sleep 1d; sleep 1; ps -o pid,ppid,args -C sleep`;
    await $({
      changes: "the container is gone",
    })`sudo podman rm --force --time 0 "$(basename "$PWD")"`;
  },
  afterwards: `Now your lines stand where runc and crun stand: Podman, Docker and Kubernetes call them with the same
    five words. What 'config.json' asks for besides (limits, a filter, capabilities, mounts, users) is in chapters 5 to 9.`,
};

interface Asked {
  args: string[];
  env: string[];
}

export const challenges = [options, apart, bundle, runtime] as Challenge[];
