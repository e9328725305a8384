/**
 * 07 · network: further challenges
 */
import { endianness } from "node:os";
import { read } from "../../lib/kernel.ts";
import type { Challenge } from "../../lib/options/challenge.ts";
import type { Process, World } from "../../lib/options/world.ts";
import type { Verbs } from "../../lib/verbs.ts";

const needs = ["nft (nftables)", "perl", "ping (iputils-ping, iputils, iputils, iputils)"];
const looks = { changes: "nothing, it only looks" };
const ours = { changes: "network namespaces of the challenge's own", undo: "they go at the end" };

/** What a line begins with that is root's. */
const sudo = process.getuid?.() === 0 ? "" : "sudo -n ";

/** Makes a machine with a switch, and a container that is plugged into it. */
async function makeNetwork({ say, $ }: Verbs) {
  const run = $(ours);
  say`'machine' has a switch, 'br0', where it is 10.0.0.1. 'web' is plugged into that, and is 10.0.0.2.`;
  await $(ours)`touch machine web; for NET in machine web; do sudo unshare --net=$NET true; done`;
  await run`sudo nsenter --net=machine bash -c 'ip link set lo up; ip link add br0 up type bridge; ip address add 10.0.0.1/24 dev br0; ip link add to-web up master br0 type veth peer name eth0 netns ./web'`;
  await run`sudo nsenter --net=web bash -c 'ip link set eth0 up; ip address add 10.0.0.2/24 dev eth0; ip route add default via 10.0.0.1'`;
}

/** Addresses in /proc/net, which are numbers as they lie in memory. See proc_pid_net(5). */
function inHex(address: string): string {
  const bytes = Buffer.from(address.split(".").map(Number));
  return (endianness() === "LE" ? bytes.reverse() : bytes).toString("hex").toUpperCase();
}

function fromHex(text: string): string {
  const bytes = Buffer.from(text, "hex");
  return (endianness() === "LE" ? bytes.reverse() : bytes).join(".");
}

// ── Plug in

/** What a container's own /proc/PID/net says. */
export interface Plug {
  interfaces: string[];
  addresses: string[];
  /** Where its default route leads, if it has one. */
  gateway?: string;
  /** Whom it has found on its cable, and for whom it has asked in vain. */
  neighbours: string[];
  missed: string[];
}

export function plugOf(pid: number): Plug[] {
  const file = (name: string) => read(`/proc/${pid}/net/${name}`);
  if (!file("dev")) return [];
  const all = (text: string, pattern: RegExp) =>
    [...text.matchAll(pattern)].map(([, found = ""]) => found);
  return [
    {
      interfaces: all(file("dev"), /^ *(\S+):/gm),
      addresses: all(file("fib_trie"), /\|-- ([\d.]+)\s+\/32 host LOCAL/g),
      gateway: all(file("route"), /^\S+\t0{8}\t(\w+)/gm)[0],
      // What was never answered has no 0x2.
      neighbours: all(file("arp"), /^([\d.]+) +\S+ +0x[2367]/gm),
      missed: all(file("arp"), /^([\d.]+) +\S+ +0x0/gm),
    },
  ];
}

const plugIn: Challenge<Plug> = {
  title: "Plug in a container that has no network",
  goal: `Process $PID is in a network namespace where nothing is but 'lo', as with 'docker run --network
    none'. Give it an interface 'eth0' with an address of its own in 10.0.0.0/24, and a route, so that it
    reaches 'web', and would reach whatever 'machine' does.`,
  needs,
  async prepare(verbs) {
    await makeNetwork(verbs);
    const { say, $ } = verbs;
    say`And a container that is alone.`;
    await $({
      changes: "a process that sleeps, in namespaces of its own",
      undo: "when the challenge ends",
    })`STARTED=$(sudo bash -c 'setsid unshare --net --pid --fork --kill-child sleep 1d &> container.log & echo $!')`;
    await $(
      looks,
    )`PID=$(sudo timeout 15 bash -c "until pgrep -P $STARTED sleep; do sleep .1; done"); sudo nsenter --target $PID --net ip link`;
  },
  remember: "echo $PID",
  subjects: ({ memory }) => plugOf(Number(memory)),
  nothing: "The process has ended.",
  criteria: [
    {
      text: "it has an interface 'eth0'",
      met: ({ interfaces }) =>
        interfaces.includes("eth0") || `It has ${interfaces.join(" and ")}, says its net/dev.`,
    },
    {
      text: "with an address of its own in 10.0.0.0/24",
      met({ addresses }) {
        const found = addresses.filter((each) => each.startsWith("10.0.0."));
        if (found.some((each) => /\.[12]$/.test(each))) return `${found[0]} is another's.`;
        return found.length > 0 || "Its net/fib_trie has no such address.";
      },
    },
    {
      text: "all else goes to 10.0.0.1",
      met: ({ gateway }) =>
        gateway === inHex("10.0.0.1") ||
        (gateway ? `It goes to ${fromHex(gateway)}.` : "Its net/route has no default."),
    },
    {
      text: "it has found 'web' on the switch: 10.0.0.2 is in its net/arp",
      met: ({ neighbours }) =>
        neighbours.includes("10.0.0.2") || `It has found ${neighbours.join(" and ") || "nobody"}.`,
    },
  ],
  hints: [
    `'ip link add … netns' takes the number of a process, too. And 'nsenter --target $PID --net' enters
    its network.`,
    `Four things, as in the chapter: a cable, one end of it in the switch; both ends up; an address; a
    route. Then a 'ping' from in there.`,
  ],
  async solution({ say, $ }) {
    const run = $(ours);
    say`One end for the process, the other for the switch.`;
    await run`sudo nsenter --net=machine ip link add to-it up master br0 type veth peer name eth0 netns $PID`;
    await run`sudo nsenter --target $PID --net bash -c 'ip link set eth0 up; ip address add 10.0.0.9/24 dev eth0; ip route add default via 10.0.0.1'`;
    await run`sudo nsenter --target $PID --net ping -c 1 10.0.0.2 | grep %; cat /proc/$PID/net/arp`;
    await $({
      changes: "the container and the namespaces are gone",
    })`sudo kill -9 $PID; sudo umount machine web`;
  },
  afterwards: `That is 'docker network connect'. In Kubernetes it is what a CNI plug-in does: it is handed
    a network namespace, by a path, and has to put an interface into it.`,
};

// ── A pod

interface Pair {
  processes: [Process, Process];
  /** Whether each is in a pid namespace of its own. */
  apart: boolean;
  /** Whether one's end of a connection over 127.0.0.1 is the other's other end. */
  connected: boolean;
}

/** The connections over 127.0.0.1 in a process's network, by the inodes of the sockets at both ends. */
function connectionsOf(pid: number): [string, string][] {
  const local = inHex("127.0.0.1");
  const established = "01";
  const ends = [
    ...read(`/proc/${pid}/net/tcp`).matchAll(
      /^ *\d+: (\w+:\w+) (\w+:\w+) (\w\w) (?:\S+ +){5}(\d+)/gm,
    ),
  ].filter(([, from, , state]) => from!.startsWith(local) && state === established);
  return ends.flatMap(([, from, to, , inode]) =>
    ends
      .filter((end) => end[1] === to && end[2] === from)
      .map((end): [string, string] => [inode!, end[4]!]),
  );
}

/** The sockets that processes have open, as inodes, by their pids. */
function socketsOf(pids: number[], { read }: World): Map<number, string[]> {
  const files = pids.map((pid) => `/proc/${pid}/fd`).join(" ");
  const listed = read(`${sudo}find ${files} -lname 'socket:*' -printf '%p %l\\n'`);
  const found = new Map(pids.map((pid): [number, string[]] => [pid, []]));
  for (const [, pid, inode] of listed.matchAll(/^\/proc\/(\d+)\S+ socket:\[(\d+)\]$/gm))
    found.get(Number(pid))!.push(inode!);
  return found;
}

/** All pairs of processes that are not in the host's namespaces; two containers are nearer to it. */
function pairs(world: World): Pair[] {
  const { pid, net } = world.host.namespaces;
  const inside = world.processes.filter(
    ({ namespaces }) => namespaces.pid !== pid || namespaces.net !== net,
  );
  const sockets = socketsOf(
    inside.map((each) => each.pid),
    world,
  );
  const all = inside.flatMap((one, at) =>
    inside.slice(at + 1).map((other): Pair => {
      const pids = new Set([one, other, world.host].map(({ namespaces }) => namespaces.pid));
      const [ones, others] = [sockets.get(one.pid)!, sockets.get(other.pid)!];
      const connected = connectionsOf(one.pid).some(
        ([near, far]) => ones.includes(near) && others.includes(far),
      );
      return { processes: [one, other], apart: pids.size === 3, connected };
    }),
  );
  return all.sort((one, other) => Number(one.apart) - Number(other.apart));
}

const pod: Challenge<Pair> = {
  title: "A pod: two containers that meet at 127.0.0.1",
  goal: `Start two processes, each in a pid namespace of its own, but in one network namespace, which is
    not the host's. Let one connect to the other at 127.0.0.1 (IPv4), and leave the connection open. 'web.pl' is a
    server that does so.`,
  needs,
  async prepare({ $ }) {
    await $`echo 'use IO::Socket; $s = IO::Socket::INET->new(Listen => 9, LocalPort => 80); while ($c = $s->accept) { print $c "hello"; push @all, $c }' > web.pl; cat web.pl`;
  },
  subjects: pairs,
  nothing: "All of your processes are in the host's namespaces.",
  criteria: [
    {
      text: "two processes are in different pid namespaces, and neither in the host's",
      met: ({ apart }) => apart || "There are no two containers.",
    },
    {
      text: "both are in one network namespace",
      met: ({ processes: [one, other] }) =>
        one.namespaces.net === other.namespaces.net ||
        `One is in ${one.namespaces.net}, the other in ${other.namespaces.net}.`,
    },
    {
      text: "that is not the host's",
      met: ({ processes }, { host }) =>
        processes.every(({ namespaces }) => namespaces.net !== host.namespaces.net) ||
        "It is the host's.",
    },
    {
      text: "a connection over 127.0.0.1 is open between the two",
      met: ({ connected }) =>
        connected || "No such connection between the two is in their net/tcp.",
    },
  ],
  hints: [
    `A network namespace on a file can be entered by as many as like. It needs its 'lo' up first.`,
    `'sudo nsenter --net=pod unshare --pid --fork --kill-child perl -l web.pl &' is the first container.`,
    `For the second a 'bash' will do: 'exec 3<> /dev/tcp/127.0.0.1/80' connects, and file 3 stays open.`,
  ],
  async solution({ say, $, enter }) {
    say`The network first, then two who enter it, with a process table each.`;
    await $(ours)`touch pod; sudo unshare --net=pod true; sudo nsenter --net=pod ip link set lo up`;
    await $({
      changes: "a process that listens, in there",
      undo: "by 'kill', further down",
    })`SERVER=$(sudo bash -c 'setsid nsenter --net=pod unshare --pid --fork --kill-child perl -l web.pl &> web.log & echo $!')`;
    await enter({ changes: "a root shell in the pod's network, and a pid namespace of its own" })`
      sudo nsenter --net=pod unshare --pid --fork --kill-child bash
      for TRY in {1..50}; do exec 3<> /dev/tcp/127.0.0.1/80 && break; sleep .1; done 2> /dev/null
      head -n 1 <&3
      readlink /proc/self/ns/net /proc/self/ns/pid
    `;
    await $({
      changes: "the server and the namespace are gone",
    })`sudo kill -9 $SERVER; sudo umount pod`;
  },
  afterwards: `That is 'docker run --network container:NAME', and a pod in Kubernetes: its containers share
    a network, and so may not listen at the same port. A process of its own ('pause') holds the network
    while the containers come and go, as your file did.`,
};

// ── A door for one

interface Visits {
  /** What they are told at the door. */
  friend: string;
  stranger: string;
  /** Whether the stranger reaches the machine at all. */
  isThere: boolean;
}

function visit({ read }: World): Visits[] {
  const as = (who: string, line: string) =>
    read(`${sudo}nsenter --net=${who} timeout 2 ${line}`).trim();
  const knock = "bash -c 'cat < /dev/tcp/203.0.113.2/8080'";
  const friend = as("friend", knock);
  return [
    {
      friend,
      stranger: friend && as("stranger", knock),
      isThere: /\b0 ?%/.test(as("stranger", "ping -c 1 203.0.113.2")),
    },
  ];
}

const door: Challenge<Visits> = {
  title: "A door for one visitor alone",
  goal: `A friend (203.0.113.1) and a stranger (203.0.113.9) both reach 'machine' at 203.0.113.2. Open port
    8080 there, and lead it to the server in 'web', 10.0.0.2, port 80, so that it is open to the friend
    alone. The server must see the friend's own address, and the stranger must still be able to 'ping' the machine.`,
  needs,
  async prepare(verbs) {
    await makeNetwork(verbs);
    const { say, $ } = verbs;
    const run = $(ours);
    say`Outside there is another switch, for the two visitors.`;
    await run`touch friend stranger; for NET in friend stranger; do sudo unshare --net=$NET true; done`;
    await run`sudo nsenter --net=machine bash -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; ip link add street up type bridge; ip address add 203.0.113.2/24 dev street; for NET in friend stranger; do ip link add to-$NET up master street type veth peer name eth0 netns ./$NET; done'`;
    await run`sudo nsenter --net=friend bash -c 'ip link set eth0 up; ip address add 203.0.113.1/24 dev eth0'; sudo nsenter --net=stranger bash -c 'ip link set eth0 up; ip address add 203.0.113.9/24 dev eth0'`;
    await $`echo 'use IO::Socket; $s = IO::Socket::INET->new(Listen => 9, LocalPort => 80); while ($c = $s->accept) { print $c $c->peerhost; close $c }' > web.pl`;
    await $({
      changes: "a process that listens, in 'web' alone",
      undo: "when the challenge ends",
    })`SERVER=$(sudo bash -c 'setsid nsenter --net=web perl -l web.pl &> web.log & echo $!')`;
    await $(
      looks,
    )`sudo nsenter --net=machine timeout 5 bash -c 'until cat < /dev/tcp/10.0.0.2/80; do sleep .1; done 2> /dev/null'`;
  },
  subjects: visit,
  nothing: "Nobody can look.",
  criteria: [
    {
      text: "the friend gets an answer at 203.0.113.2, port 8080",
      met: ({ friend }) => friend !== "" || "There is none.",
    },
    {
      text: "the server sees the friend's own address",
      met: ({ friend }) => friend === "203.0.113.1" || `It sees ${friend || "nobody"}.`,
    },
    {
      text: "the stranger gets none",
      met({ friend, stranger }) {
        if (!friend) return "Neither does the friend.";
        return stranger === "" || "The door is open to both.";
      },
    },
    {
      text: "though the stranger reaches the machine",
      met: ({ isThere }) => isThere || "203.0.113.2 does not answer when the stranger pings it.",
    },
  ],
  hints: [
    `Everything happens in 'machine': 'sudo nsenter --net=machine bash'. The rule is that of the chapter,
    with one more condition.`,
    `'ip saddr 203.0.113.1' is true of what the friend sends. In the chapter the counters asked that.`,
  ],
  async solution({ say, $, enter }) {
    say`One condition more. To whoever else knocks, nobody listens at 8080.`;
    await enter(ours)`
      sudo nsenter --net=machine bash
      nft 'table nat { chain in { type nat hook prerouting priority -100; ip saddr 203.0.113.1 tcp dport 8080 counter dnat to 10.0.0.2:80; }; }'
      for NET in friend stranger; do nsenter --net=$NET bash -c 'cat < /dev/tcp/203.0.113.2/8080'; done
      nft list table nat | grep dnat
    `;
    await $({
      changes: "the server and the namespaces are gone",
    })`sudo kill $SERVER; sudo umount machine web friend stranger`;
  },
  afterwards: `With Docker it takes care: what is published by '-p' is rewritten before the machine's own rules
    for what comes in (chain input) are asked, so a firewall there does not stop it. Its chain DOCKER-USER
    is the place for such a rule; and '-p 127.0.0.1:8080:80' keeps the door shut to all outside.`,
};

export const challenges: Challenge[] = [plugIn, pod, door];
