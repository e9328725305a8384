import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

import { test, type TestContext } from "node:test";
import { challengeFile, chaptersIn, nextChapter, readHeader } from "../header.ts";
import { chapters, temporary, tidy } from "./testing.ts";

/** A directory with files of these names. */
function directoryOf(t: TestContext, files: Record<string, string>): string {
  const directory = temporary();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  t.after(() => {
    for (const name of Object.keys(files)) rmSync(join(directory, name));
    tidy(directory);
  });
  return directory;
}

const whole = `#!/usr/bin/env -S npx tsx
/**
 * 06 · cgroup: limits
 *
 * **You know this:** it is killed
 * at once.
 *
 * The second paragraph.
 *
 *     one ── two
 *       └── three
 *
 * @run npx tsx chapters/06-cgroup.ts
 * @needs nft (nftables), ip, conntrack (conntrack, conntrack-tools, conntrack-tools, conntrack)
 * @tries overlay, cgroup
 * @see cgroups(7), kill(1)
 */
import x from "y"; /** not this */
`;

for (const [ends, text] of [
  ["\\n", whole],
  ["\\r\\n", whole.replaceAll("\n", "\r\n")],
] as const)
  test(`readHeader() reads every field when lines end in ${ends}`, (t) => {
    const directory = directoryOf(t, { "06-cgroup.ts": text });
    assert.deepEqual(readHeader(join(directory, "06-cgroup.ts")), {
      title: "06 · cgroup: limits",
      opening: ["**You know this:** it is killed at once.", "The second paragraph."],
      known: "it is killed at once",
      figure: "one ── two\n  └── three",
      run: "npx tsx chapters/06-cgroup.ts",
      see: "cgroups(7), kill(1)",
      needs: [
        "nft (nftables)",
        "ip",
        "conntrack (conntrack, conntrack-tools, conntrack-tools, conntrack)",
      ],
      tries: ["overlay", "cgroup"],
      takes: [],
    });
  });

test("readHeader() has what is there when it is short", (t) => {
  const directory = directoryOf(t, { "a.ts": "/**\n * Short\n *\n * @run me\n */\n", "b.ts": "" });
  const { title, opening, figure, run, needs } = readHeader(join(directory, "a.ts"));
  assert.deepEqual([title, opening, figure, run, needs], ["Short", [], undefined, "me", []]);
  assert.equal(readHeader(join(directory, "b.ts")).title, "");
});

test("every chapter has a title, an opening, a figure of 60 columns, its command and man pages", () => {
  for (const path of chapters) {
    const { title, opening, figure = "", see } = readHeader(path);
    const [number, name] = basename(path, ".ts").split(/-(.*)/);
    assert.ok(title.startsWith(`${number} · ${name}: `), title);
    assert.match(opening[0] ?? "", /^\*\*You know this:\*\*/, title);
    assert.match(see, /^\w[\w.]*\(\d\)/, title);
    const widths = figure.split("\n").map((line) => line.length);
    assert.ok(figure && Math.max(...widths) <= 60, title);
  }
});

test("chaptersIn() and nextChapter() go by the numbers in the names, and skip what is no chapter", (t) => {
  const files = { "10-b.ts": whole, "02-a.ts": "", "x.ts": "", "03-c.test.ts": "", "4-d.ts": "" };
  const directory = directoryOf(t, files);
  const names = chaptersIn(directory).map((path) => basename(path));
  assert.deepEqual(names, ["02-a.ts", "10-b.ts"]);
  assert.equal(nextChapter(join(directory, "02-a.ts"))?.title, "06 · cgroup: limits");
  assert.equal(nextChapter(join(directory, "10-b.ts")), undefined);
  assert.equal(nextChapter(join(directory, "x.ts")), undefined);
});

test("challengeFile() is the file of that name among the challenges", () => {
  assert.equal(challengeFile("/a/chapters/02-b.ts"), "/a/chapters/challenges/02-b.ts");
});
