/** Answers to the challenges of 07 · network, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

/** sudo does not hand on the reader's variables. */
const machine = "sudo nsenter --net=machine env PID=$PID bash";
const cable = "ip link add to-it up type veth peer name eth0 netns $PID";
const plugged = cable.replace("up", "up master br0");
/** In the container: what is typed there, and a ping that is given up soon. */
const inIt = (...lines: string[]) =>
  [...lines, "ping -c 1 -W 1 10.0.0.2"].map((line) => `nsenter --target $PID --net ${line}`);
const up = "ip link set eth0 up";
const address = "ip address add 10.0.0.9/24 dev eth0";
const route = "ip route add default via 10.0.0.1";

const container = "unshare --pid --fork --kill-child";
const behind = (command: string) =>
  `sudo env STARTED=$STARTED bash -c 'setsid ${command} &> log &'`;
const inPod = (command: string) => behind(`nsenter --net=pod ${command}`);
/** A network, and a program that connects as soon as somebody listens, and stays. */
const prepared = [
  "touch pod; sudo unshare --net=pod true; sudo nsenter --net=pod ip link set lo up",
  "echo 'for TRY in {1..90}; do exec 3<> /dev/tcp/$1/80 && break; sleep .1; done; exec sleep 1m' > client",
];

const dnat = (condition: string) =>
  `nft 'table nat { chain in { type nat hook prerouting priority -100; ${condition} tcp dport 8080 dnat to 10.0.0.2:80; }; }'`;
const forbid = (hook: string, condition: string) =>
  `nft 'table guard { chain guard { type filter hook ${hook} priority 0; ${condition} drop; }; }'`;

export const answers: Answer[][] = [
  [
    {
      name: "a cable that is laid from inside, and renamed",
      lines: [
        [
          "sudo nsenter --target $PID --net bash",
          "ip link add mine type veth peer name its netns ./machine; ip link set mine name eth0 up",
          "nsenter --net=machine ip link set its up master br0",
          "ip address add 10.0.0.77/25 dev eth0; ip route add 0.0.0.0/0 via 10.0.0.1",
          "nsenter --net=web ping -c 1 -W 1 10.0.0.77",
          "true",
        ],
      ],
    },
    {
      name: "a cable that is not in the switch",
      lines: [[machine, cable, ...inIt(up, address, route), "true"]],
      missing: { 3: /nobody/ },
    },
    {
      name: "no route",
      lines: [[machine, plugged, ...inIt(up, address), "true"]],
      missing: { 2: /no default/ },
    },
    {
      name: "a route to someone else",
      lines: [
        [machine, plugged, ...inIt(up, address, "ip route add default via 10.0.0.2"), "true"],
      ],
      missing: { 2: /goes to 10\.0\.0\.2/ },
    },
    {
      name: "another name",
      lines: [
        [
          machine,
          plugged.replace("eth0", "eth1"),
          ...inIt(...[up, address, route].map((line) => line.replace("eth0", "eth1"))),
          "true",
        ],
      ],
      missing: { 0: /lo and eth1/ },
    },
    {
      name: "an address that is taken",
      lines: [[machine, plugged, ...inIt(up, address.replace(".9/", ".2/"), route), "true"]],
      missing: { 1: /another's/, 3: /nobody/ },
    },
  ],
  [
    {
      name: "a container in a container",
      lines: [
        prepared[1]!,
        "echo 'ip link set lo up; perl -l web.pl & unshare --pid --fork --kill-child bash client 127.0.0.1' > both",
        behind(`${container} --net bash both`),
      ],
    },
    {
      name: "a network that belongs to one of the two, and the other joins",
      lines: [
        prepared[1]!,
        "STARTED=$(sudo bash -c 'setsid unshare --net --pid --fork --kill-child perl -l web.pl &> log & echo $!'); sleep 1",
        "sudo nsenter --target $STARTED --net ip link set lo up",
        behind(`nsenter --target $STARTED --net ${container} bash client 127.0.0.1`),
      ],
    },
    {
      name: "one container",
      lines: [
        ...prepared,
        "echo 'perl -l web.pl & bash client 127.0.0.1' > both",
        inPod(`${container} bash both`),
        "sleep 2",
      ],
      missing: { 0: /no two/ },
    },
    {
      name: "two networks",
      lines: [
        ...prepared,
        inPod(`${container} perl -l web.pl`),
        behind(`${container} --net bash client 127.0.0.1`),
        "sleep 2",
      ],
      missing: { 1: /One is in \d+/, 3: /No such connection/ },
    },
    {
      name: "another address of theirs",
      lines: [
        ...prepared,
        "sudo nsenter --net=pod ip address add 10.0.0.1/32 dev lo",
        inPod(`${container} perl -l web.pl`),
        inPod(`${container} bash client 10.0.0.1`),
        "sleep 2",
      ],
      missing: { 3: /No such connection/ },
    },
    {
      name: "the network of the host",
      lines: [behind(`${container} sleep 9`), behind(`${container} sleep 9`), "sleep 2"],
      missing: { 2: /host's/, 3: /No such connection/ },
    },
  ],
  [
    {
      name: "a door for all, and a guard behind it",
      lines: [
        [machine, forbid("forward", "ip saddr != 203.0.113.1 tcp dport 80"), dnat(""), "true"],
      ],
    },
    {
      name: "a guard before it",
      lines: [
        [
          machine,
          "nft 'table guard { chain guard { type filter hook prerouting priority -200; ip saddr 203.0.113.9 tcp dport 8080 drop; }; }'",
          dnat("iifname street"),
          "true",
        ],
      ],
    },
    {
      name: "a door for all",
      lines: [[machine, dnat("iifname street"), "true"]],
      missing: { 2: /open to both/ },
    },
    {
      name: "a door for the other one",
      lines: [[machine, dnat("ip saddr 203.0.113.9"), "true"]],
      missing: { 0: /none/, 1: /nobody/, 2: /Neither/ },
    },
    {
      name: "a server that is told of the machine alone",
      lines: [
        [
          machine,
          "nft 'table nat { chain out { type nat hook postrouting priority 100; oifname br0 masquerade; }; }'",
          dnat("ip saddr 203.0.113.1"),
          "true",
        ],
      ],
      missing: { 1: /sees 10\.0\.0\.1/ },
    },
    {
      name: "a stranger who is cut off",
      lines: [[machine, dnat("iifname street"), "ip link set to-stranger down", "true"]],
      missing: { 3: /does not answer/ },
    },
  ],
];
