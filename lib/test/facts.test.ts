import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, looks, recorded, rowsOf } from "../facts.ts";

const { about, machine, text } = recorded();

/** The titles of the rows that are not equal, and what the last row counts. */
function unequal(yours: string, theirs = text, host = machine) {
  const rows = compare(rowsOf(yours, host), rowsOf(theirs, machine));
  const [, , count] = rows.pop()!;
  return { count, titles: rows.filter(([mark]) => mark !== "=").map(([, what]) => what) };
}

test("what was recorded says of what, and can be read to its last row", () => {
  assert.match(about, /^Docker \d\S+ on Linux \d\S+, \d{4}-\d\d-\d\d, 'docker run /);
  assert.deepEqual(unequal(text), { count: "**18 of 18**", titles: [] });
  const values = Object.fromEntries(rowsOf(text, machine).map(([, what, value]) => [what, value]));
  assert.equal(values["capabilities"], "a80425fb a80425fb 0 0");
  assert.equal(values["memory, processes, cpu"], "67108864 100 50000 100000");
  assert.equal(values["its number, for itself"], "1");
  assert.equal(values["variables"], "HOME HOSTNAME PATH");
  assert.equal(values["in /dev"], "mqueue pts shm; full null random tty urandom zero");
});

/** What a container that lacks one thing would print instead. */
const lacks: Record<string, [RegExp, string]> = {
  "its /": [/^\d+:\d+$/gm, machine.root],
  "namespaces of its own": [/uts:\[\d+\]/, `uts:[${machine.shared.at(-1)}]`],
  "its number, for itself": [/^(NS[ps]id:\t)1$/gm, "$1 4136"],
  "mounted as /": [/ \/ \/ rw,(.*) overlay /, " / / ro,$1 overlay "],
  "whoever joins gets": [/^\d+:\d+\n(?=\d+:\d+$)/m, `${machine.root}\n`],
  "memory, processes, cpu": [/(cpu\.max:50000) 100000/, "$1 50000"],
  "network interfaces": [/^ *eth0:\n/m, ""],
  "mounted in /etc": [/^.* \/etc\/hosts .*\n/m, ""],
  "user ids": [/^ +0 +0 4294967295$/m, "0 1000 1\n1 100000 65536"],
  capabilities: [/(CapBnd:\t0*)a80425fb/, "$1a80425ff"],
  "seccomp, filters": [/^(Seccomp:\t)2/m, "$10"],
  "no new privileges": [/^(NoNewPrivs:\t)0/m, "$11"],
  "read-only in /proc": [/(\/proc\/sys) ro,/, "$1 rw,"],
  hidden: [/^.* \/proc\/keys .*\n/m, ""],
  "/proc, /sys, /dev": [/ \/sys ro,/, " /sys rw,"],
  "in /dev": [/^c.* zero$/m, "crw-rw---- 1 0 6 254, 0 Nov 24 18:03 vda"],
  variables: [/\bHOME\b/, "HOME LC_BY_HAND"],
  "open files": [/ 2 -> .*/, "$&\nlr-x------ 1 0 0 64 Nov 24 18:04 3 -> /tmp/state"],
};

for (const [row, [pattern, replacement]] of Object.entries(lacks))
  test(`one difference makes one row unequal: ${row}`, () => {
    const other = text.replace(pattern, replacement);
    assert.notEqual(other, text);
    assert.deepEqual(unequal(other).titles, [row]);
  });

test("there is such a difference for every row", () => {
  assert.deepEqual(
    Object.keys(lacks),
    rowsOf(text, machine).map(([, what]) => what),
  );
});

test("what neither container shows is not equal", () => {
  const refusals = `cat: mountinfo: Permission denied
grep: status: Permission denied
ls: cannot access '/dev': No such file or directory
bash: environ: Permission denied
nsenter: reassociate to namespace 'ns/mnt' failed: Operation not permitted`;
  for (const nothing of ["", refusals]) assert.equal(unequal(nothing, nothing).titles.length, 18);
});

/** The rows that need what is printed in these lines. */
const readings: [pattern: RegExp, rows: string[]][] = [
  [
    /^\d.* - .*\n/gm,
    [
      "mounted as /",
      "mounted in /etc",
      "read-only in /proc",
      "hidden",
      "/proc, /sys, /dev",
      "in /dev",
    ],
  ],
  [/^ +0 +0 4294967295\n/m, ["user ids"]],
  [/^ *(eth0|lo):\n/gm, ["network interfaces"]],
  [/^NS.*\n/gm, ["its number, for itself", "open files"]],
  [/^Cap.*\n/gm, ["capabilities"]],
  [/^CapAmb.*\n/gm, ["capabilities"]],
  [/^NoNew.*\n/gm, ["no new privileges"]],
  [/^Seccomp_filters.*\n/gm, ["seccomp, filters"]],
  [/^l.* -> \w+:\[\d+\]\n/gm, ["namespaces of its own"]],
  [/^l.* \d -> .*\n/gm, ["open files"]],
  [/^c.*\n/gm, ["in /dev"]],
  [/^\/sys\/fs\/cgroup\/pids.*\n/gm, ["memory, processes, cpu"]],
  [/^\d+:\d+\n/m, ["whoever joins gets"]],
  [/^\d+:\d+\n?/gm, ["its /", "whoever joins gets"]],
];

for (const [pattern, rows] of readings)
  test(`what neither shows is not equal: ${pattern}`, () => {
    const other = text.replace(pattern, "");
    assert.notEqual(other, text);
    assert.deepEqual(unequal(other, other).titles, rows);
  });

test("the lines read files, and change nothing", () => {
  for (const look of looks)
    assert.match(look, /^(cat|grep|ls|echo variables: \$\(tr|nsenter --mount=\S+ stat) /);
});
