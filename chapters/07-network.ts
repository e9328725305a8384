#!/usr/bin/env -S npx tsx
/**
 * 07 · network: a cable, a switch, and a door
 *
 * **You know this:** with 'docker run -p 8080:80' a web server in a container answers at port 8080
 * of your machine, and the containers of one 'docker network' reach each other.
 *
 * A new network namespace is connected to nothing. What Docker adds is a cable, a switch, a route, and
 * rules that rewrite addresses. Here you add them. Your own network stays as it is: four namespaces
 * play a machine, the Internet, and two containers.
 *
 *     ┌─ internet ──┐ ┌─ machine ────────────────┐ ┌─ web ────┐
 *     │        eth0 ┼─┼ uplink    br0 ─┬─ to-web ┼─┼ eth0     │
 *     │ 203.0.113.1 │ │ 203.0.113.2    │         │ └ 10.0.0.2 ┘
 *     └─────────────┘ │       10.0.0.1 │         │ ┌ 10.0.0.3 ┐
 *                     │                └─ to-db ─┼─┼ eth0     │
 *                     └──────────────────────────┘ └─ db ─────┘
 *
 * @run npx tsx chapters/07-network.ts
 * @needs nft (nftables), perl, ping (iputils-ping, iputils, iputils, iputils)
 * @tries network, overlay
 * @see network_namespaces(7), veth(4), ip(8), nft(8), nsenter(1)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, rootfs, shell, beside }: Verbs) {
  const ours = { changes: "four namespaces, and what is in them", undo: "they go at the end" };
  const [run, open] = [$(ours), enter(ours)];
  await part`Cables, and a switch`;
  say`'--net=FILE' mounts the new namespace on a file, which keeps it when no process is in it.`;
  await run`touch machine internet web db; for NET in machine internet web db; do sudo unshare --net=$NET true; done`;
  say`In a new one not even 127.0.0.1 answers: it is an address of 'lo', and that is down. A cable is a pair of interfaces (veth): what goes into one
    comes out of the other. Before each stands its number, and behind '@if' that of its other end. A switch is a bridge, such as 'docker0'.`;
  const all = "for NET in machine web db; do nsenter --net=$NET ip link | grep -o '.*@[^:]*'; done";
  const toDb = "nsenter --net=web ping -c 1 10.0.0.3 | grep %";
  const wired = await open`
    sudo nsenter --net=machine bash
    ping -c 1 127.0.0.1
    ip link set lo up; ping -c 1 127.0.0.1 | grep %
    ip link add to-web up type veth peer name eth0 netns ./web
    ip link add to-db up type veth peer name eth0 netns ./db
    ip link add uplink up type veth peer name eth0 netns ./internet
    ${all}
    for NET in web db internet; do nsenter --net=$NET bash -c 'ip link set lo up; ip link set eth0 up'; done
    nsenter --net=web ip address add 10.0.0.2/24 dev eth0; nsenter --net=db ip address add 10.0.0.3/24 dev eth0
    ${toDb}
    ip link add br0 up type bridge; ip address add 10.0.0.1/24 dev br0
    for LINK in to-web to-db; do ip link set $LINK master br0; done
    ${toDb}
  `;
  const [web, db, , inWeb, inDb] = [...wired(all).matchAll(/(\d+): .*@if(\d+)/g)];
  same("'eth0' in 'web' names to-web's number", { "to-web": web?.[1], "in web": inWeb?.[2] });
  same("and in 'db' that of to-db", { "to-db": db?.[1], "in db": inDb?.[2] });
  const lost = (ping: string) => /\d+ ?% [^,]*/.exec(ping)?.[0];
  differ("the switch leads to 'db'", { before: lost(wired(toDb)), after: lost(wired(toDb, 2)) });

  await part`The way out`;
  say`'web' reaches what is near; for the rest it needs a route. But a machine passes on what is for others only if it is told to forward. Then the packet
    arrives, but no answer: the Internet knows no way to 10.0.0.2, an address that any network may use for itself. So 'machine' replaces it by its own
    ('masquerade'), and undoes that in the answer: NAT. (A rule of nft(8) in 'internet' counts what arrives, by sender.)`;
  const out = "nsenter --net=web ping -c 1 -W 1 203.0.113.1 | grep %";
  const tried = `${out}; nsenter --net=internet nft list table seen | grep saddr`;
  const way = await open`
    sudo nsenter --net=machine bash
    ip address add 203.0.113.2/24 dev uplink; nsenter --net=internet ip address add 203.0.113.1/24 dev eth0
    nsenter --net=internet nft 'table seen { chain in { type filter hook input priority 0; ip saddr 10.0.0.2 counter; ip saddr 203.0.113.2 counter; }; }'
    ${out}
    nsenter --net=web ip route add default via 10.0.0.1; echo 0 > /proc/sys/net/ipv4/ip_forward
    ${tried}
    echo 1 > /proc/sys/net/ipv4/ip_forward
    ${tried}
    nft 'table nat { chain out { type nat hook postrouting priority 100; oifname uplink counter masquerade; }; }'
    ${tried}
  `;
  const [off = "", on = "", nat = ""] = [1, 2, 3].map((time) => way(tried, time));
  const seen = (text: string, at: number) => text.match(/(?<=packets )\d+/g)?.[at];
  differ("forwarding lets it out", { "seen before": seen(off, 0), after: seen(on, 0) });
  differ("the answer takes NAT", { "without it": lost(on), "with it": lost(nat) });
  differ("which makes 'machine' the sender", { "seen before": seen(on, 1), after: seen(nat, 1) });

  await part`A door`;
  say`Now a server in 'web', a line of Perl: whoever connects is told their own address.`;
  await $`echo 'use IO::Socket; $s = IO::Socket::INET->new(Listen => 9, LocalPort => 80); while ($c = $s->accept) { print $c $c->peerhost; close $c }' > web.pl`;
  await run`SERVER=$(sudo bash -c 'setsid nsenter --net=web perl -l web.pl &> web.log & echo $!')`;
  say`'bash' connects to what it opens below /dev/tcp. From outside only 'machine' is in reach, and nobody listens. A rule stands at a **hook**, a place
    that packets pass: 'prerouting' if they come in, 'output' if 'machine' itself sends them. A rule at 'prerouting' gives what comes in for 8080 another
    address and port ('dnat'): that is '-p 8080:80'. If only others reach a port, the rule at 'output' is missing; if only 'machine' does, that at
    'prerouting'. (127.0.0.1 is a case of its own: see below.)`;
  const visit = "bash -c 'cat < /dev/tcp/203.0.113.2/8080'";
  const far = `nsenter --net=internet ${visit}`;
  const door = await open`
    sudo nsenter --net=machine bash
    timeout 5 bash -c 'until cat < /dev/tcp/10.0.0.2/80; do sleep .1; done' 2> /dev/null
    ${far}
    nft 'table nat { chain in { type nat hook prerouting priority -100; iifname uplink tcp dport 8080 counter dnat to 10.0.0.2:80; }; }'
    ${far}
    ${visit}
    nft 'table nat { chain own { type nat hook output priority -100; ip daddr 203.0.113.2 tcp dport 8080 counter dnat to 10.0.0.2:80; }; }'
    ${visit}
    nft list table nat | grep dnat
    for NET in db web; do nsenter --net=$NET bash -c 'cat < /dev/tcp/127.0.0.1/80'; done
  `;
  const said = (line: string, time: number) => door(line, time).split("\n")[0];
  differ("the rule opens the door", { before: said(far, 1), after: said(far, 2) });
  differ("and the other one for 'machine'", { before: said(visit, 1), after: said(visit, 2) });
  differ("the server sees who comes", { outside: said(far, 2), machine: said(visit, 2) });
  say`Where Docker runs, 'sudo iptables -t nat -S' shows its MASQUERADE and DNAT. Rules do not help 127.0.0.1, for what comes from there may not leave
    'lo' (unless the setting 'route_localnet' is on). So there a process listens, 'docker-proxy': if 127.0.0.1 alone does not answer, that is what is
    missing. (To publish a port for your own machine alone: '-p 127.0.0.1:8080:80'.)`;

  await part`Names: three files of Docker's`;
  say`In 'db' nobody answered at 127.0.0.1. Nor would anybody at 127.0.0.53, the name server in many an /etc/resolv.conf. So
    Docker mounts files of its own, as 'init' does here. (In a 'docker network' it answers at 127.0.0.11, and knows neighbours' names.)`;
  await rootfs("rootfs", "bash", "cat", "grep", "ls", "mount", "nsenter", "stat", "tr", "umount");
  await $`echo web > hostname; echo 127.0.0.1 localhost > hosts; echo nameserver 203.0.113.1 > resolv.conf; mkdir -p upper/etc work merged; touch upper/etc/{hostname,hosts,resolv.conf}`;
  await $`echo 'mount -t overlay overlay -o lowerdir=rootfs,upperdir=upper,workdir=work merged; for NAME in hostname hosts resolv.conf; do mount --bind $NAME merged/etc/$NAME; done' > init`;
  await $`echo 'cd merged; pivot_root . .; hash -r; mount -t proc proc /proc; umount -l .; exec ${shell}' >> init`;
  const box = "sudo nsenter --net=web unshare --mount --uts --ipc --pid --cgroup --fork bash init";
  const look = "stat -c %d:%i /etc/resolv.conf";
  const typed = await enter({ changes: "a root shell in a container, in the network of 'web'" })`
    ${box}
    cat /etc/resolv.conf
    ${look}
  `;
  same("its resolv.conf is ours", { ours: await $`stat -c %d:%i resolv.conf`, its: typed(look) });
  await beside(box);
  await run`sudo kill $SERVER; sudo umount machine internet web db`;
}
