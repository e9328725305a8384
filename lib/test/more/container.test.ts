/**
 * Chapter 11's script, as the reader keeps it: its verbs, and what it says when it cannot; each step left
 * out, which the table must show; and the same beside a live Docker.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { calls, refusedIn } from "../../calls.ts";
import { looks, rowsOf } from "../../facts.ts";
import { identity, namespaces } from "../../kernel.ts";
import { limits } from "../../options/engine.ts";
import {
  claimsIn,
  file,
  forbid,
  inShort,
  leavesNothing,
  missingTools,
  mode,
  refused,
  run,
  succeeds,
  temporary,
  toldToItsEnd,
  tsx,
  until,
  whyNot,
  withoutTool,
} from "../testing.ts";

const path = file("chapters/11-container.ts");
const skip =
  (mode !== "root" && "needs root") || (await whyNot(path)) || missingTools("perl", "uname");
const EINVAL = 22;
const unified = existsSync("/sys/fs/cgroup/cgroup.controllers");

/** A directory with the script and two layers. */
let home: string;
let script: string;

/** Writes the script, or what becomes of it, to a new file: a bash that runs still reads from the old one. */
function write(text = script) {
  rmSync(join(home, "by-hand"), { force: true });
  writeFileSync(join(home, "by-hand"), text, { mode: 0o755 });
}

/** Runs a verb; what it says of limits that cannot be set is left out. */
function byHand(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(join(home, "by-hand"), args, { encoding: "utf8" });
  return { status, stdout, stderr: stderr.replace(/^\(No limits.*\n/m, "") };
}

/** Starts a container; returns its name. */
function start(...args: string[]) {
  const { status, stdout, stderr } = byHand("run", ...args);
  assert.deepEqual([status, stderr], [0, ""]);
  return stdout.trim();
}

const says = (...args: string[]) => byHand(...args).stdout.trim();
const sh = (line: string, input?: string) =>
  execFileSync("bash", ["-c", line], { encoding: "utf8", input, cwd: home }).trim();

/** The rows of the table, by their titles. */
function rows(pid: string, join = "--mount") {
  const typed = ["cd /proc/1", ...looks].join("\n");
  const line = `nsenter --target ${pid} ${join} --uts --ipc --net --pid bash 2>&1`;
  const machine = { root: identity("/"), shared: Object.values(namespaces()) };
  const list = rowsOf(sh(line, typed), machine);
  return new Map(list.map(([, what, value]) => [what, value]));
}

/** The titles of those that differ. */
const unequal = (one: Map<string, unknown>, other: Map<string, unknown>) =>
  [...one.keys()].filter((what) => one.get(what) !== other.get(what));

/**
 * What the detector has printed, but for names, for what a cable changes (Docker's container has none
 * here), for cgroups that are not of version 2 alone, and for what chapter 11 names: its / is a slave of
 * the host's, and on a new overlay the kernel writes an id.
 */
function factsOf(text: string) {
  const lines = text
    .replace(/\b[0-9a-f]{12}\b/g, "NAME")
    .replace(/\\n10\.0\.9\.\d+\tNAME/g, "")
    .replace(/\beth0 /g, "")
    .replace(/^mount \/\t.*/m, (line) => line.replace(/ master:\d+|,uuid=\w+/g, ""))
    .replace(/^mounts\t.*/m, (line) =>
      unified ? line : line.replace(/ \/sys\/fs\/cgroup\S*/g, ""),
    )
    .split("\n");
  const leftOut = unified ? /^[^\t]*\/eth0/ : /^[^\t]*(\/eth0|cgroup|cpuset)/;
  const facts = lines.filter((line) => !leftOut.test(line));
  return new Map(facts.map((line) => [line.replace(/\t.*/, ""), line] as const));
}

describe("by-hand", { skip }, () => {
  before(async () => {
    home = temporary("by-hand");
    const printed = toldToItsEnd(await run(tsx(path, "--print"))).stdout;
    const parts = printed.matchAll(/^cat >>? by-hand <<'END'\n([^]*?)^END$/gm);
    script = [...parts].map(([, text]) => text).join("");
    write();
    writeFileSync(join(home, "lock"), "");
    for (const layer of ["base", "app"]) mkdirSync(join(home, layer));
    const programs = "bash cat grep ls nsenter perl sleep stat tr uname";
    sh(`for P in $(type -P ${programs}); do echo $P; ldd $P | grep -o '/[^ ]*'; done | sort -u |
        xargs cp --parents --target-directory=base; echo app > app/greeting`);
  });
  after(() => {
    write();
    byHand("rm", "--all");
    rmSync(dirname(home), { recursive: true });
  });

  test("is what shellcheck approves of", { skip: missingTools("shellcheck") }, () => {
    assert.equal(spawnSync("shellcheck", [join(home, "by-hand")], { encoding: "utf8" }).stdout, "");
  });

  test("runs several, each with an address; exec, ps, logs, stop and rm leave nothing", () =>
    leavesNothing(async () => {
      const hello = 'print "hello\\n"; $| = 1; $SIG{TERM} = sub { exit 5 }; sleep 1 while 1';
      const names = [start("app:base", "sleep", "1d"), start("app:base", "--perl", hello)];
      const [one = "", two = ""] = names;
      const list = () =>
        says("ps")
          .split("\n")
          .sort()
          .map((line) => line.split(" ").slice(0, 3));
      const expected = (states: string[]) =>
        names.map((name, at) => [name, `10.0.9.${at + 2}`, states[at]]).sort();
      assert.deepEqual(list(), expected(["runs", "runs"]));
      assert.equal(byHand("exec", one, "bash", "-c", "exit 7").status, 7);
      assert.equal(says("exec", one, "cat", "/greeting"), "app");
      const rights = ["grep", "-E", "^(Cap|Seccomp:)", "/proc/self/status"];
      assert.equal(
        says("exec", one, ...rights),
        says("exec", one, ...rights.with(3, "/proc/1/status")),
      );
      // Without exec nothing else would take them.
      const perl = 'open S, "/proc/self/status"; print grep /^(Cap|Seccomp:)/, <S>';
      assert.equal(says("exec", one, "--perl", perl), says("exec", one, ...rights));
      byHand("stop", "-t", "1", one);
      byHand("stop", two);
      assert.deepEqual(list(), expected(["137", "5"]));
      assert.equal(says("logs", two), "hello");
      byHand("rm", one);
      byHand("rm", two);
      assert.deepEqual(readdirSync(home).sort(), ["app", "base", "by-hand", "lock"]);
    }));

  test("says what does not work, and leaves nothing", () =>
    leavesNothing(async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      const { port } = server.address() as { port: number };
      const sleep = ["sleep", "1d"];
      for (const [args, message] of [
        [["run", "app:base", "no-such"], /^by-hand: no-such: No such file or directory\n$/],
        [["run", "app:none", ...sleep], /^by-hand: there is no layer none\n$/],
        [["run", "-p", `${port}:80`, "app:base", ...sleep], /^by-hand: port \d+: Address already/],
        [["run", "--net", "none", "app:base", ...sleep], /^by-hand: none does not run/],
        [["run", "app:base"], /^by-hand: run takes layers and a program/],
        [["exec", "none", "ls"], /^by-hand: there is no container none\n$/],
        [["rm", "../app"], /^by-hand: there is no container/],
      ] as [string[], RegExp][]) {
        const { status, stderr, stdout } = byHand(...args);
        assert.ok(status && !stdout, args.join(" "));
        assert.match(stderr, message);
        assert.deepEqual(
          readdirSync(home).filter((name) => /^[0-9a-f]{12}$|^10|bridge/.test(name)),
          [],
        );
      }
      server.close();
    }));

  test("what 'rm' cannot remove stays known, and can be removed later", () =>
    leavesNothing(async () => {
      const name = start("app:base", "sleep", "1d");
      sh(`mkdir ${name}/busy; mount -t tmpfs none ${name}/busy`);
      const refused = byHand("rm", name);
      assert.notEqual(refused.status, 0);
      assert.match(refused.stderr, /busy/);
      assert.match(says("ps"), new RegExp(`^${name} `));
      sh(`umount ${name}/busy`);
      assert.equal(byHand("rm", name).status, 0);
      assert.equal(says("ps"), "");
      assert.ok(!existsSync(join(home, name)));
    }));

  const { BY_HAND_FAULTS } = process.env;

  /** The verbs, and the parts of `run` that processes of their own do; and how each may be struck. */
  const struck: Record<string, string[]> = {
    run: ["kill -TERM $$", "kill -KILL $$"],
    start: ["kill -KILL $$"],
    // From inside, process 1 cannot be killed.
    inside: ["exit 9"],
    last: ["exit 9"],
    exec: ["kill -TERM $$", "kill -KILL $$"],
    stop: ["kill -TERM $$", "kill -KILL $$"],
    rm: ["kill -TERM $$", "kill -KILL $$"],
  };

  test("whichever command a verb ends at, 'rm --all' leaves nothing", (t) =>
    leavesNothing(async () => {
      const mark = join(home, "struck");
      /** Strikes it before its command with this number; returns whether that came. */
      async function strike(verb: string, blow: string, number: number) {
        const needsOne = ["exec", "stop", "rm"].includes(verb);
        const name = needsOne ? start("app:base", "sleep", "1d") : "";
        const trap = `(( ++COUNT != ${number} )) || { : > ${mark}; ${blow}; }`;
        const line = `COUNT=0; set -T; [ "$1" != ${verb} ] || trap '${trap}' DEBUG\n`;
        write(script.replace(/^(?=case \$\{1-\} in)/m, () => line));
        const args = needsOne ? [verb, name] : ["run", "-p", "0:80", "app:base", "sleep", "1d"];
        if (verb === "exec") args.push("cat", "/greeting");
        if (verb === "stop") args.splice(1, 0, "-t", "0.1");
        // Whoever waits for a 'start' that was killed is told to end.
        spawnSync(join(home, "by-hand"), args, { stdio: "ignore", timeout: 10_000 });
        write();
        byHand("rm", "--all");
        const was = existsSync(mark);
        rmSync(mark, { force: true });
        assert.deepEqual(readdirSync(home).sort(), ["app", "base", "by-hand", "lock"]);
        const left = () =>
          sh(`cd /; find /proc/[0-9]*/cwd -maxdepth 0 -lname "${home}*" 2> /dev/null || :`);
        await until(() => left() === "", "nothing runs in the script's directory");
        return was;
      }
      // One of forty, from somewhere in the first five; or all.
      const step = BY_HAND_FAULTS === "1/1" ? 1 : 40;
      let faults = 0;
      for (const [verb, blows] of Object.entries(struck))
        for (const blow of blows)
          await t.test(`${verb}: ${blow}`, async () => {
            const earlier = faults;
            const first = 1 + (((faults * 7) % 5) % step);
            for (let number = first; await strike(verb, blow, number); number += step) faults++;
            assert.ok(faults > earlier);
          });
      console.log(`${faults} faults of the script's verbs`);
    }));

  /** Of the table's rows those that a step of the script makes; and the step done wrong. */
  const mutations: Record<string, [RegExp, string]> = {
    "namespaces of its own": [/--ipc /, ""],
    "mounted as /": [/(?=become \. )/, 'mount -o remount,bind,ro "$PWD"; '],
    "whoever joins gets": [
      /call \$pivot, \$here, \$here; call \$umount, \$here, 2;/,
      'chroot ".";',
    ],
    "network interfaces": [/eth0/g, "eth1"],
    "mounted in /etc": [/(etc\/\{.*?),hosts/, "$1"],
    capabilities: [/0xA80425FB(?= >>)/, "0xA80425FF"],
    "seccomp, filters": [/call \$prctl, 22, 2, pack.*;/, ""],
    "no new privileges": [/(?=0xA80425FB >>)/, "call $prctl, 38, 1, 0, 0, 0; "],
    "read-only in /proc": [/(proc\/\{bus,fs,irq),sys/, "$1"],
    hidden: [/keys,/, ""],
    "/proc, /sys, /dev": [/-o ro,\$SAFE sysfs/, "-o $SAFE sysfs"],
    "in /dev": [/'full c 1 7' /, ""],
    variables: [/(?=HOME=\/root)/, "LC_BY_HAND= "],
    "open files": [/call 436, .*?, 4;/, ""],
    ...(unified ? { "memory, processes, cpu": [/pids.max 100/, "pids.max 99"] } : {}),
  };

  test("each step that is left out makes its row of the table unequal, and no other", async (t) => {
    const look = (join?: string) => {
      const name = start("app:base", "sleep", "1d");
      try {
        return rows(sh(`cat ${name}/pid`), join);
      } finally {
        byHand("rm", name);
      }
    };
    const right = look();
    for (const [row, [step, instead]] of Object.entries(mutations))
      await t.test(row, () => {
        const wrong = script.replace(step, instead);
        assert.notEqual(wrong, script);
        write(wrong);
        try {
          const join = row === "whoever joins gets" ? "--mount --root --wd" : undefined;
          assert.deepEqual(unequal(right, look(join)), [row]);
        } finally {
          write();
        }
      });
    // What the script leaves as it is, or could not be joined without.
    const others = ["its /", "its number, for itself", "user ids"];
    const missing = [...right.keys()].filter((row) => !(row in mutations) && !others.includes(row));
    assert.deepEqual(missing, unified ? [] : ["memory, processes, cpu"]);
  });

  test("runc and crun make the same of a bundle", { skip: missingTools("runc") }, async () => {
    const printed = toldToItsEnd(await run(tsx(path, "--print", "--challenge"))).stdout;
    const change = /^cat > change\.js <<'END'\n([^]*?)^END$/m.exec(printed)![1]!;
    const name = `by-hand-${process.pid}`;
    sh("mkdir bundle; cp -r base bundle/rootfs; cd bundle; runc spec; cat > change.js", change);
    sh(`cd bundle; node change.js ${name}`);
    // A runtime makes no cable, and mounts what it is told to.
    const may = ["mounted as /", "mounted in /etc", "network interfaces"];
    if (!unified) may.push("memory, processes, cpu", "namespaces of its own");
    const ours = start("app:base", "sleep", "1d");
    try {
      // crun refuses a layout with cgroups of both versions.
      for (const program of unified && !missingTools("crun") ? ["runc", "crun"] : ["runc"]) {
        const runtime = `${program} --root ${home}/${program}`;
        try {
          sh(`cd bundle; ${runtime} run --detach --bundle . ${name} < /dev/null &> log`);
          const pid = sh(`${runtime} state ${name} | grep -o '"pid": [0-9]*' | tr -cd 0-9`);
          const differ = unequal(rows(sh(`cat ${ours}/pid`)), rows(pid));
          assert.deepEqual(
            differ.filter((row) => !may.includes(row)),
            [],
            program,
          );
          const refused = refusedIn(sh(`${runtime} exec ${name} perl -`, calls));
          const known = refusedIn(says("exec", ours, "--perl", calls));
          // It has no number yet in the library that reads a filter's names.
          const old = (call: string) => call !== "set_mempolicy_home_node";
          assert.deepEqual(refused.filter(old).sort(), known.filter(old).sort(), program);
        } finally {
          sh(`${runtime} delete --force ${name}`);
        }
      }
    } finally {
      byHand("rm", ours);
      rmSync(join(home, "bundle"), { recursive: true });
    }
  });

  const noDocker =
    missingTools("docker") || (!succeeds("docker", "version") && "Docker does not run");
  test(
    "stands beside a live Docker: its rows, and what it answers to calls",
    { skip: noDocker },
    () => {
      const image = `by-hand-test-${process.pid}`;
      sh(`tar -C base -c . | docker import - ${image}`);
      const theirs = sh(`docker run --detach --network none ${limits} ${image} sleep 1d`);
      const ours = start("app:base", "sleep", "1d");
      try {
        const pid = sh(`docker inspect --format '{{.State.Pid}}' ${theirs}`);
        // Without a bridge it has no cable; and by default no cgroup namespace before version 2.
        const may = [
          "network interfaces",
          ...(unified ? [] : ["namespaces of its own", "memory, processes, cpu"]),
        ];
        const differ = unequal(rows(sh(`cat ${ours}/pid`)), rows(pid));
        assert.deepEqual(
          differ.filter((row) => !may.includes(row)),
          [],
        );
        const answers = says("exec", ours, "--perl", calls);
        assert.ok(refusedIn(answers).length > 50);
        const version = sh("docker version --format '{{.Server.Version}}'");
        if (version.startsWith("20.10."))
          assert.equal(answers, sh(`docker exec --interactive ${theirs} perl -`, calls));
      } finally {
        byHand("rm", ours);
        sh(`docker rm --force ${theirs}; docker rmi ${image}`);
      }
    },
  );

  test(
    "a program in there cannot tell it from Docker's, but by what is named",
    { skip: noDocker },
    () => {
      const image = `by-hand-test-detector-${process.pid}`;
      const detector = readFileSync(file("lib/test/fixtures/detector.pl"), "utf8");
      sh(`mkdir -p base/{etc,root}; tar -C base -c . | docker import - ${image}`);
      const theirs = sh(`docker run --detach --network none ${limits} ${image} sleep 1d`);
      const inTheirs = (input: string) => sh(`docker exec --interactive ${theirs} perl -`, input);
      try {
        // Who first asks for a kind of socket has the kernel load its module.
        inTheirs("for $family (0 .. 50) { socket S, $family, $_, 0 for 1 .. 3 }");
        const other = factsOf(inTheirs(detector));
        /** What it finds in one of ours that is left out in Docker's, or is not equal. */
        const found = () => {
          const ours = start("base", "sleep", "1d");
          try {
            const one = factsOf(sh(`./by-hand exec ${ours} perl -`, detector));
            assert.ok(one.size > 500 && other.size > 500);
            return [...new Set([...one.keys(), ...other.keys()])].filter(
              (name) => one.get(name) !== other.get(name),
            );
          } finally {
            byHand("rm", ours);
          }
        };
        assert.deepEqual(found(), []);
        write(script.replace("chmod 755 .dockerenv", "true"));
        assert.deepEqual(found(), ["mode of /.dockerenv"]);
      } finally {
        write();
        sh(`docker rm --force ${theirs}; docker rmi ${image}`);
      }
    },
  );
});

describe("chapter 11 is refused before its first step, where there is no", { skip }, () => {
  const told = tsx(path, "--yes");
  for (const [what, command, why] of [
    ["perl", withoutTool("perl", told), /^perl is missing\. The package is perl-base on Debian/m],
    ["flock", withoutTool("flock", told), /^flock is missing\. .* flock on Alpine\./m],
    ["seccomp filter", forbid("$prctl", 22, EINVAL, told), /takes no seccomp filter: Invalid arg/],
    [
      "network to be made",
      ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-all", ...told],
      /^Networks cannot be made here: .*not permitted\.\n.*modprobe/m,
    ],
  ] as [string, string[], RegExp][])
    test(what, async () => assert.match(refused(await leavesNothing(() => run(command))), why));
});

/** For each claim of the chapter: what is another line in it, and what that is there. */
const lies: Record<string, [line: string | RegExp, lie: string]> = {
  "root in there has rights that Docker's lacks": [
    /const \[its\] = .*/,
    "const its = Docker?.trim();",
  ],
  "it answers at your port, and to its neighbour": ["$ENV{HOSTNAME}\\n", '" . ++$N . "\\n'],
  "in another container it is not": ["run -m 64m app:base", "run --net $WEB app:base"],
  "as many as before": [`trap 'rm "$NAME"' EXIT`, "true"],
  "with nsenter root may do all": [/call \$prctl, 22, 2, .*\n.*0\.\.63;/, ""],
  "with exec as much as process 1": [
    "0xA80425FB >>",
    '($here eq "." ? 0xA80425FB : 0xA80425FA) >>',
  ],
  "refused is what Docker refuses": ["256 272 279", "256 279"],
  "one was killed": ['kill "$PID" ||', 'kill -9 "$PID" ||'],
  "the other has said so": ["was asked to end\\n", "was asked\\n"],
};

test("a claim of chapter 11 does not hold where", { skip, concurrency: 2 }, async (t) => {
  /** Tells the chapter with another line in it. */
  async function tellWith(line: string | RegExp, lie: string) {
    const home = temporary("other");
    for (const name of ["lib", "package.json"]) symlinkSync(file(name), join(home, name));
    mkdirSync(join(home, "chapters"));
    const text = readFileSync(path, "utf8");
    const other = text.replace(line, () => lie);
    assert.ok(other !== text || line === lie);
    const chapter = join(home, "chapters/11-container.ts");
    writeFileSync(chapter, other);
    const told = await run(tsx(chapter, "--yes"));
    rmSync(dirname(home), { recursive: true });
    return told;
  }

  await leavesNothing(async () => {
    const tests = Object.entries(lies).map(([claim, [line, lie]], at) =>
      t.test(`${claim}: its line is ${lie || "left out"}`, async () => {
        const told = await tellWith(line, lie);
        assert.equal(told.status, 1, inShort(told));
        assert.match(told.stderr, new RegExp(`^This claim does not hold: ${claim}$`, "m"));
        assert.equal(claimsIn(told.stdout).length, at, inShort(told));
      }),
    );
    const truth = t.test("no line is: then all of them do, and they are these", async () => {
      const { stdout } = toldToItsEnd(await tellWith("", ""));
      assert.deepEqual(claimsIn(stdout), Object.keys(lies));
    });
    await Promise.all([...tests, truth]);
  });
});
