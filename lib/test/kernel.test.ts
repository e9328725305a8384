import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  children,
  commandLine,
  elders,
  everyone,
  fileSystemOf,
  identity,
  mountsBelow,
  namespaces,
  namespaceTypes,
  parseNamespaces,
  parseMounts,
  read,
  readLink,
  stat,
} from "../kernel.ts";
import { noOwnMounts, ownMounts, run, temporary, tidy, tsxEval, until } from "./testing.ts";

test("parseNamespaces() reads inode numbers when it gets the listing of ls", () => {
  const listing = `total 0
lrwxrwxrwx 1 root root 0 Nov 22 02:42 cgroup -> cgroup:[4026531835]
lrwxrwxrwx 1 root root 0 Nov 22 02:42 ipc -> ipc:[4026532179]
lrwxrwxrwx 1 root root 0 Nov 22 02:42 mnt -> mnt:[4026532177]
lrwxrwxrwx 1 root root 0 Nov 22 02:42 net -> net:[4026532181]
lrwxrwxrwx 1 root root 0 Nov 22 02:42 pid -> pid:[4026532180]
lrwxrwxrwx 1 root root 0 Nov 22 02:42 pid_for_children -> pid:[4026532999]
lrwxrwxrwx 1 root root 0 Nov 22 02:42 time -> time:[4026531834]
lrwxrwxrwx 1 root root 0 Nov 22 02:42 time_for_children -> time:[4026531834]
lrwxrwxrwx 1 root root 0 Nov 22 02:42 user -> user:[4026531837]
lrwxrwxrwx 1 root root 0 Nov 22 02:42 uts -> uts:[4026532178]
`;
  assert.deepEqual(parseNamespaces(listing), {
    mnt: "4026532177",
    uts: "4026532178",
    ipc: "4026532179",
    pid: "4026532180",
    net: "4026532181",
    user: "4026531837",
    cgroup: "4026531835",
    time: "4026531834",
  });
});

test("parseNamespaces() leaves out what the kernel lacks", () => {
  const listing = `lrwxrwxrwx 1 0 0 0 Nov 22 02:42 uts -> uts:[4026531838]`;
  assert.deepEqual(parseNamespaces(listing), { uts: "4026531838" });
});

test("parseNamespaces() finds none in an empty text", () => {
  assert.deepEqual(parseNamespaces(""), {});
});

test("namespaces() are those of this process, as readlink has them", () => {
  const here = namespaces();
  const types = namespaceTypes.filter((type) => existsSync(`/proc/self/ns/${type}`));
  assert.deepEqual(Object.keys(here), types);
  for (const type of types) {
    const link = `/proc/${process.pid}/ns/${type}`;
    const target = execFileSync("readlink", [link], { encoding: "utf8" });
    assert.equal(`${type}:[${here[type]}]\n`, target);
  }
});

test("identity() is what stat prints", () => {
  for (const path of ["/", "/proc"]) {
    const printed = execFileSync("stat", ["--format=%d:%i", path]);
    assert.equal(`${identity(path)}\n`, printed.toString());
  }
});

test(
  "mountsBelow() has blanks, line breaks and backslashes as they are, in the order of the mounts",
  { skip: noOwnMounts },
  async () => {
    const tmp = temporary();
    const [odd, inner, beside] = ["a b\nc\td\\e", "a b\nc\td\\e/in", "a b"];
    const script = `
      cd "$TMPDIR" && mkdir -p '${odd}' '${beside}' &&
      mount -t tmpfs none '${odd}' && mkdir '${inner}' &&
      mount -t tmpfs none '${inner}' && mount -t tmpfs none '${beside}' &&
      "$@"; umount -R '${odd}' '${beside}'; rmdir '${odd}' '${beside}'`;
    const code = `
      const { mountsBelow } = await load("kernel.ts");
      console.log(JSON.stringify(mountsBelow(process.env.TMPDIR)));`;
    const { stdout, stderr } = await run(
      [...ownMounts, "bash", "-c", script, "bash", ...tsxEval(code)],
      { tmp },
    );
    assert.equal(stderr, "");
    assert.deepEqual(
      JSON.parse(stdout),
      [odd, inner, beside].map((name) => join(tmp, name)),
    );
  },
);

test("mountsBelow() has neither the directory itself nor its siblings", () => {
  assert.ok(existsSync("/proc/self"));
  assert.ok(mountsBelow("").includes("/proc"));
  assert.ok(!mountsBelow("/proc").includes("/proc"));
  assert.ok(!mountsBelow("/pro").includes("/proc"));
});

test("stat() tells processes by their age, whatever their name", async () => {
  const tmp = temporary();
  // Its name is in the line that stat() takes apart.
  const awkward = join(tmp, "a) b (c 1 2");
  copyFileSync(realpathSync("/bin/sleep"), awkward);
  await sleep(20);
  const child = spawn(awkward, ["1d"]);
  try {
    const [mine, other] = [stat(process.pid)!, stat(child.pid!)!];
    assert.deepEqual([other.parent, other.session], [process.pid, mine.session]);
    assert.equal(mine.identity, `${process.pid}.${mine.started}`);
    assert.ok(other.started > mine.started);
    assert.equal(other.identity, stat(child.pid!)!.identity);
    await until(() => stat(child.pid!)!.name === "a) b (c 1 2");
  } finally {
    child.kill();
    rmSync(awkward);
    tidy(tmp);
  }
});

test("stat() is undefined when there is no such process", () => {
  // One more than the highest pid that Linux gives.
  assert.equal(stat(2 ** 22 + 1), undefined);
});

test("everyone() has the oldest first, and none that has ended", async () => {
  const ended = spawn("true");
  const child = spawn("sleep", ["1d"]);
  try {
    await once(ended, "exit");
    const all = everyone();
    assert.ok(all.every(({ started }, index) => index === 0 || started >= all[index - 1]!.started));
    const pids = all.map(({ pid }) => pid);
    assert.ok(pids.includes(1) && pids.includes(child.pid!) && !pids.includes(ended.pid!));
  } finally {
    child.kill();
  }
});

test("commandLine() is one line, and children() has who was started", () => {
  const child = spawn("sleep", ["1d"], { argv0: "a\nb" });
  try {
    assert.ok(children(process.pid).includes(child.pid!));
    assert.match(commandLine(child.pid!), /^(a b 1d|\S*node .*)$/);
  } finally {
    child.kill();
  }
});

test("parseMounts() reads every field of a line of mountinfo, and only such lines", () => {
  const text = `PID TTY
36 35 98:0 /mnt1\\040a /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
37 35 0:50 / /a\\134b ro - overlay o rw,lowerdir=/x\\072y:z,upperdir=u
`;
  assert.deepEqual(parseMounts(text), [
    {
      ...{ device: "98:0", root: "/mnt1 a", point: "/mnt2", options: ["rw", "noatime"] },
      tags: ["master:1"],
      ...{ type: "ext3", superOptions: "rw,errors=continue" },
    },
    {
      ...{ device: "0:50", root: "/", point: "/a\\b", options: ["ro"], tags: [] },
      ...{ type: "overlay", superOptions: "rw,lowerdir=/x:y:z,upperdir=u" },
    },
  ]);
});

test("fileSystemOf() is the last mount on the longest path", () => {
  assert.equal(fileSystemOf("/proc/self").type, "proc");
  assert.equal(fileSystemOf("/no/such/directory").point, "/");
});

test("read() and readLink() are empty when there is nothing to read", () => {
  assert.deepEqual([read("/no/such/file"), readLink("/proc/1/nothing")], ["", ""]);
});

test("elders() has process 1, and not a child of this process", async () => {
  await sleep(20);
  const child = spawn("sleep", ["1d"]);
  try {
    const found = elders();
    assert.ok(found.includes("1"));
    assert.ok(existsSync(`/proc/${child.pid}`));
    assert.ok(!found.includes(`${child.pid}`));
  } finally {
    child.kill();
  }
});
