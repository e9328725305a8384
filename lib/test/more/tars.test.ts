import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { parseListing, requireContents, useSource } from "../../options/rootfs.ts";
import { busyboxRoot, tarOf, type Entry } from "../tar.ts";
import {
  cannotRun,
  chapter,
  chapters,
  leavesNothing,
  missingTools,
  noOwnMounts,
  numbered,
  ownMounts,
  run,
  toldToItsEnd,
  tsx,
  whyNots,
} from "../testing.ts";

// Before there is a test: while it is awaited, those that there are would run, and end.
const why = await whyNots();

const noBusybox = missingTools("busybox", "tar");

/** Where the archives are; and what must not be touched from there. */
const directory = mkdtempSync(join(tmpdir(), "by-hand-tars."));
const marker = join(directory, "marker");
writeFileSync(marker, "untouched");
after(() => rmSync(directory, { recursive: true }));

/** Writes a tar into that directory. */
function writeTar(name: string, entries: Entry[]): string {
  const tar = join(directory, name);
  writeFileSync(tar, tarOf(entries));
  return tar;
}

const root = noBusybox ? [] : busyboxRoot();
const good = writeTar("good root's.tar", root);
const walk = (path: string, source: string) =>
  leavesNothing(() => run(chapter(path, "--yes", "--rootfs", source)));

test("parseListing() reads what tar printed", () => {
  const listing = `-rw-r--r-- 0/0               1 1970-01-01 00:00 "./a b -> \\"c\\nd"
lrwxrwxrwx 0/0               0 1970-01-01 00:00 "bin/a -> b" -> "busybox"
hrw-r--r-- 0/0               0 100000000000000000 "other" link to "bin/sh"
crw-r--r-- 0/0             1,3 1970-01-01 00:00   "./dev/null"
`;
  const link = undefined;
  assert.deepEqual(parseListing(listing), [
    { type: "-", path: './a b -> \\"c\\nd', link },
    { type: "l", path: "bin/a -> b", link: "busybox" },
    { type: "h", path: "other", link: "bin/sh" },
    { type: "c", path: "./dev/null", link },
  ]);
  assert.throws(() => parseListing("V--------- 0/0 0 1970-01-01 00:00 a--Volume Header--"), /tar/);
});

test("useSource() refuses what is no source", () => {
  for (const name of ["", "debian", "docker", "a.zip", "a.tar.bz2"])
    assert.throws(() => useSource({ ask: false }, name), /--rootfs takes host/);
});

test("requireContents() finds programs wherever a root has them", () => {
  const members = ["./bin/sh", "usr/bin/ls", "./usr/local/sbin/ps"].map((path) => ({
    type: "-",
    path,
  }));
  requireContents("it", members, ["sh", "ls", "ps"], []);
  assert.throws(
    () => requireContents("it", members, ["sh", "stat", "cat"], []),
    /^Error: it lacks what the chapter types in its root: stat, cat\./,
  );
});

for (const path of chapters)
  describe(path, { skip: why.get(path) || noBusybox }, () => {
    for (const source of ["busybox", good])
      test(`--rootfs ${source} proves every claim`, async () => {
        const { stdout } = toldToItsEnd(await walk(path, source));
        assert.match(stdout, /^In \w+ goes /m);
      });
  });

for (const [ending, packer] of [
  ["gz", "gzip"],
  ["xz", "xz"],
  ["zst", "zstd"],
] as const)
  describe(
    `--rootfs PATH.tar.${ending}`,
    { skip: cannotRun || noBusybox || missingTools(packer) },
    () => {
      const packed = `${good}.${ending}`;
      test("is unpacked", async () => {
        execFileSync(packer, ["-k", good]);
        toldToItsEnd(await walk(numbered("02"), packed));
      });
      test("is refused when its end is missing", async () => {
        truncateSync(packed, 100_000);
        const { status, stderr } = await walk(numbered("02"), packed);
        assert.equal(status, 2);
        assert.match(stderr, /is truncated/);
      });
    },
  );

test("--print quotes the path of a tar", async () => {
  const { stdout } = await run(chapter(numbered("02"), "--print", "--rootfs", "$(touch x)'\n.tar"));
  assert.match(stdout, /--file \$'\S*\/\$\(touch x\)\\'\\n\.tar'$/m);
  assert.equal((await run(["bash", "-n"], { input: stdout })).status, 0);
});

describe("A chapter refuses, before its first step,", { skip: cannotRun || noBusybox }, () => {
  const cut = writeTar("cut.tar", root);
  truncateSync(cut, 1_000_000);
  const text = join(directory, "text.tar");
  writeFileSync(text, "Hello");

  const refused: [what: string, source: string, why: RegExp, path?: string][] = [
    ["a tar that is truncated", cut, /^cut\.tar is truncated/m],
    ["a text", text, /^text\.tar is not a tar archive/m],
    ["no file", join(directory, "no.tar"), /^There is no file no\.tar/m],
    [
      "a tar without its programs",
      writeTar("bare.tar", [{ path: "bin/sh" }, { path: "bin/ls" }]),
      /^bare\.tar lacks what the chapter types in its root: cat, grep, hostname, \w+, ps\b/m,
    ],
    [
      "a path with ..",
      writeTar("up.tar", [...root, { path: "../../marker" }]),
      /^up\.tar holds \.\.\/\.\.\/marker, a path that leads out/m,
    ],
    [
      "an absolute path",
      writeTar("absolute.tar", [...root, { path: marker }]),
      /^absolute\.tar holds \/\S+marker, a path that leads out/m,
    ],
    [
      "a device",
      writeTar("device.tar", [...root, { path: "tmp/null", type: "3" }]),
      /^device\.tar holds the device tmp\/null/m,
    ],
    [
      "a device of an owner with an odd name",
      writeTar("owner.tar", [...root, { path: "tmp/null", type: "3", owner: "a b" }]),
      /^owner\.tar holds the device tmp\/null/m,
    ],
    [
      "a device of an odd time",
      writeTar("time.tar", [...root, { path: "tmp/null", type: "3", time: 1e17 }]),
      /^time\.tar holds the device tmp\/null/m,
    ],
    [
      "a root with a file that it will write",
      writeTar("taken.tar", [...root, { path: "greeting", type: "2", link: marker }]),
      /^taken\.tar holds a \/greeting/m,
      numbered("04"),
    ],
    ["what is no source", "debian", /^--rootfs takes host, busybox/m],
  ];
  for (const [what, source, why, path = numbered("02")] of refused)
    test(what, async () => {
      const { status, stdout, stderr } = await walk(path, source);
      assert.match(stderr, why);
      assert.equal(stderr.trim().split("\n").length, 1);
      assert.equal(status, 2);
      assert.doesNotMatch(stdout, /^WORK=/m);
      assert.equal(readFileSync(marker, "utf8"), "untouched");
    });
});

describe("Nothing is written outside", { skip: cannotRun || noBusybox }, () => {
  test("by a tar with devices below dev", async () => {
    const tar = writeTar("dev.tar", [
      ...root,
      { path: "dev/null", type: "3" },
      { path: "./dev/zero", type: "3" },
    ]);
    const { status, stdout } = await walk(numbered("02"), tar);
    assert.equal(status, 0);
    assert.doesNotMatch(stdout, /mknod/);
  });

  test("by a tar that goes through links of its own", async () => {
    const tar = writeTar("links.tar", [
      ...root,
      { path: "out", type: "2", link: directory },
      { path: "out/marker" },
      { path: "up", type: "2", link: "../../../../.." },
      { path: `up${marker}` },
      { path: "hard", type: "1", link: marker },
      { path: "hard" },
    ]);
    const before = readdirSync(directory);
    const { status } = await walk(numbered("02"), tar);
    assert.equal(status, 1);
    assert.equal(readFileSync(marker, "utf8"), "untouched");
    assert.deepEqual(readdirSync(directory), before);
  });
});

test(
  "A disk that is too small is named, and everything undone",
  { skip: cannotRun || noBusybox || noOwnMounts },
  async () => {
    const [program = "", ...rest] = tsx(...[numbered("02"), "--yes", "--rootfs", good]);
    const script = `mount -t tmpfs -o size=1m none /mnt && TMPDIR=/mnt "$@"; status=$?; find /mnt -name 'by-hand.*'; exit $status`;
    const { status, stdout, stderr } = await leavesNothing(() =>
      run([...ownMounts, "bash", "-c", script, "bash", program, ...rest]),
    );
    assert.equal(status, 1);
    assert.match(stderr, /^The disk that \/mnt\S+ is on is full\./m);
    assert.match(stderr, /^Everything that was done so far is undone\.$/m);
    assert.doesNotMatch(stdout, /^\/mnt/m);
  },
);
