import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  elders,
  identity,
  mountsBelow,
  namespaces,
  namespaceTypes,
  parseNamespaces,
  startTime,
} from "../kernel.ts";
import { noOwnMounts, ownMounts, run, temporary, tidy, tsxEval } from "./testing.ts";

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

test("startTime() tells processes by their age, whatever their name", async () => {
  const tmp = temporary();
  // Its name is in the line that startTime() takes apart.
  const awkward = join(tmp, "a) b (c 1 2");
  copyFileSync(realpathSync("/bin/sleep"), awkward);
  await sleep(20);
  const child = spawn(awkward, ["1d"]);
  try {
    const mine = startTime(process.pid);
    assert.match(mine!, /^\d+$/);
    assert.match(startTime(child.pid!)!, /^\d+$/);
    assert.ok(Number(startTime(child.pid!)) > Number(mine));
    assert.equal(startTime(child.pid!), startTime(child.pid!));
  } finally {
    child.kill();
    execFileSync("rm", [awkward]);
    tidy(tmp);
  }
});

test("startTime() is undefined when there is no such process", () => {
  // One more than the highest pid that Linux gives.
  assert.equal(startTime(2 ** 22 + 1), undefined);
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
