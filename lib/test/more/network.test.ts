/**
 * Chapter 7: where a claim is not so, it fails; where no network can be made, it says why; and it
 * leaves the network of the machine alone, also beside Docker's daemon, whose rules are what it says.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { read } from "../../kernel.ts";
import { findProgram } from "../../shell.ts";
import {
  chapter,
  claimsIn,
  file,
  inShort,
  leavesNothing,
  missingTools,
  mode,
  noOwnMounts,
  ownMounts,
  refused,
  run,
  succeeds,
  temporary,
  toldToItsEnd,
  tsx,
  whyNot,
  without,
  withoutTool,
} from "../testing.ts";

const path = file("chapters/07-network.ts");
const told = chapter("07", "--yes");

// Before there is a test: while it is awaited, those that there are would run, and end.
const cannotBeTold = await whyNot(path);

// ── Claims

/** A tool that does something else than it is told to, by a claim that does not hold then. */
const lies: Record<string, [tool: string, script: string]> = {
  "'eth0' in 'web' names to-web's number": ["ip", "swap ./web ./db"],
  "and in 'db' that of to-db": ["ip", 'real "$@" | sed s/@if3/@if4/; exit'],
  "the switch leads to 'db'": ["ip", '[[ "$*" != "link set to-db master br0" ]] || exit 0'],
  "forwarding lets it out": ["nft", "swap 10.0.0.2 10.0.0.7"],
  "the answer takes NAT": ["nft", "swap masquerade accept"],
  "which makes 'machine' the sender": ["nft", "swap 'saddr 203.0.113.2' 'saddr 203.0.113.7'"],
  "the rule opens the door": ["nft", "swap 'iifname uplink tcp dport 8080' 'tcp dport 8081'"],
  "and the other one for 'machine'": [
    "nft",
    "swap '203.0.113.2 tcp dport 8080' '203.0.113.2 tcp dport 8081'",
  ],
  "the server sees who comes": [
    "nft",
    "swap 'oifname uplink counter masq' 'oifname != lo counter masq'",
  ],
  "its resolv.conf is ours": ["unshare", '[ ! -e init ] || sed -i "s/bind .NAME/bind hosts/" init'],
};

/** A command where a tool is such a script, which ends with what it was told to do. */
function lying(tool: string, script: string, command: string[], directory: string): string[] {
  const [real, liar] = [join(directory, tool), join(directory, `${tool}-liar`)];
  copyFileSync(findProgram(tool)!, real);
  const exchanging = `swap() {
    local at; for at in "\${!words[@]}"; do
      words[at]=\${words[at]//"$1"/@@@}; words[at]=\${words[at]//"$2"/"$1"}; words[at]=\${words[at]//@@@/"$2"}
    done
  }`;
  writeFileSync(
    liar,
    `#!/bin/bash\nreal() { '${real}' "$@"; }\nwords=("$@")\n${exchanging}\n${script}\nexec '${real}' "\${words[@]}"\n`,
    { mode: 0o755 },
  );
  const bind = 'mount --bind "$0" "$(readlink -f "$1")"; shift; exec "$@"';
  return [...ownMounts, "bash", "-ec", bind, liar, findProgram(tool)!, ...command];
}

const skip = cannotBeTold || noOwnMounts;
test(
  "a claim of chapter 7 does not hold where a tool does something else:",
  { skip, concurrency: 2 },
  (t) =>
    leavesNothing(async () => {
      const tests = Object.entries(lies).map(([claim, [tool, script]]) =>
        t.test(claim, async () => {
          const directory = temporary("tools");
          const ended = await run(lying(tool, script, told, directory), { env: { NO_COLOR: "1" } });
          rmSync(dirname(directory), { recursive: true });
          const failed = /^✘ (.*)/m.exec(ended.stdout)?.[1];
          assert.deepEqual([failed, ended.status], [claim, 1], inShort(ended));
        }),
      );
      await Promise.all(tests);
    }),
);

test("there is such a tool for every claim of chapter 7", async () => {
  const { stdout } = await run(tsx(path, "--print"));
  assert.deepEqual(Object.keys(lies), claimsIn(stdout));
});

// ── Refusals

describe("chapter 7 is refused before its first step", { skip }, () => {
  for (const [tool, debian, fedora] of [
    ["nft", "nftables", "nftables"],
    ["perl", "perl", "perl"],
    ["ping", "iputils-ping", "iputils"],
  ] as const)
    test(`without ${tool}, and says which package has it`, async () => {
      const complaint = refused(await run(withoutTool(tool, told)));
      const packages = `${tool} is missing\\. The package is ${debian} on Debian and Ubuntu, ${fedora} on Fedora`;
      assert.match(complaint, new RegExp(packages));
    });

  const busybox = findProgram("busybox");
  test("with BusyBox's ip", { skip: !busybox && "not installed: busybox" }, async () => {
    const bind = 'mount --bind "$0" "$(readlink -f "$1")"; shift; exec "$@"';
    const command = [...ownMounts, "bash", "-ec", bind, busybox!, findProgram("ip")!, ...told];
    assert.match(refused(await run(command)), /is BusyBox's ip, .* The package is iproute2/);
  });

  for (const capability of ["net_admin", "net_raw"])
    test(
      `without CAP_${capability.toUpperCase()}`,
      { skip: mode !== "root" && "needs root" },
      async () => {
        const complaint = refused(await run([...without(capability), ...told]));
        assert.match(
          complaint,
          /^Networks cannot be made here: .*not permitted\.\nPerhaps this is a container/m,
        );
      },
    );

  test("with a read-only /proc/sys", { skip: mode !== "root" && "needs root" }, async () => {
    const script =
      'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec "$@"';
    const command = [...ownMounts, "bash", "-ec", script, "-", ...told];
    assert.match(
      refused(await run(command)),
      /Read-only file system\.\nPerhaps this is a container/,
    );
  });

  test("where the kernel cannot rewrite addresses", async () => {
    const directory = temporary("tools");
    // As one without nf_tables answers.
    const refusal = 'echo "Error: Could not process rule: Operation not supported" >&2; exit 1';
    const complaint = refused(await run(lying("nft", refusal, told, directory)));
    rmSync(dirname(directory), { recursive: true });
    assert.match(
      complaint,
      /not supported\.\nThis kernel has no veth, bridge or nf_tables, .*modprobe/,
    );
  });
});

// ── The machine's own network

/** What there is in a network namespace: interfaces, addresses, routes, rules and sysctls. */
const network = `ip -brief link; ip -brief address; ip route show table all; ip rule
nft list ruleset 2> /dev/null | sed 's/packets .* bytes [0-9]*//'
find /proc/sys/net -type f ! -path '*/conntrack/*' -exec grep -s . {} + | grep -vE 'nf_conntrack_count|/stable_secret'`;

describe(
  "chapter 7 leaves a network as it is",
  { skip: cannotBeTold || (mode !== "root" && "needs root") },
  () => {
    const look = (...inside: string[]) =>
      execFileSync("nsenter", [...inside, "bash", "-c", network], { encoding: "utf8" });

    test("the machine's own", async () => {
      const before = look();
      toldToItsEnd(await leavesNothing(() => run(told)));
      assert.equal(look(), before);
      assert.match(before, /^lo .*LOOPBACK/m);
    });

    const noDocker =
      missingTools("dockerd", "docker", "iptables", "busybox", "tar") ||
      (succeeds("ldd", findProgram("busybox")!) && "busybox is not static");

    test(
      "that of Docker's daemon, whose '-p' is the rule that it says",
      { skip: noDocker },
      async () => {
        const directory = temporary("docker");
        const [pid, socket, log] = ["pid", "socket", "log"].map((name) => join(directory, name));
        const flags = `--data-root ${directory}/data --exec-root ${directory}/exec --pidfile ${pid} --host unix://${socket} --storage-driver vfs`;
        // A network, and mounts, that the daemon has for itself.
        const start = `mount --make-rprivate /; ip link set lo up; cd ${directory}; exec dockerd ${flags} &> ${log}`;
        const daemon = spawn("unshare", ["--net", "--mount", "bash", "-c", start], {
          stdio: "ignore",
        });
        const ended = once(daemon, "exit");
        const docker = (line: string) =>
          execFileSync("bash", ["-c", `cd ${directory}; ${line}`], {
            ...{ encoding: "utf8", env: { ...process.env, DOCKER_HOST: `unix://${socket}` } },
          });
        try {
          for (
            let tries = 0;
            !succeeds("docker", "--host", `unix://${socket}`, "version");
            tries++
          ) {
            assert.ok(tries < 120 && daemon.exitCode === null, read(log!));
            await sleep(500);
          }
          mkdirSync(join(directory, "root"));
          docker(
            "cp $(type -P busybox) root/busybox; tar -C root -c . | docker import - by-hand > /dev/null; docker run --detach --name web --publish 8080:80 by-hand /busybox httpd -f -p 80",
          );
          const inside = [`--net=/proc/${daemon.pid}/ns/net`];
          // Addresses of version 6 take a moment: the kernel looks whether somebody else has them.
          let before = "";
          for (let now = look(...inside); now !== before; now = look(...inside)) {
            before = now;
            await sleep(3000);
          }
          // What the chapter says of Docker, and what it does itself.
          const rules = docker(`nsenter ${inside.join("")} iptables -t nat -S`);
          assert.match(rules, /^-A POSTROUTING -s \S+ ! -o docker0 -j MASQUERADE$/m);
          assert.match(rules, /^-A DOCKER .*--dport 8080 -j DNAT --to-destination [\d.]+:80$/m);
          assert.match(rules, /^-A OUTPUT ! -d 127\.0\.0\.0\/8 .*-j DOCKER$/m);
          assert.match(docker("ps -e -o args"), /docker-proxy .*-host-port 8080/);
          toldToItsEnd(await run(["nsenter", ...inside, ...told]));
          assert.equal(look(...inside), before);
          docker("docker rm --force web");
        } finally {
          daemon.kill();
          await ended;
          rmSync(dirname(directory), { recursive: true, force: true });
        }
      },
    );
  },
);
