/**
 * A chapter's command line: what it refuses, what it prints, and how it ends when it fails.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readHeader } from "../header.ts";
import {
  cannotRun,
  chapter,
  chapters,
  fixture,
  inShort,
  leavesNothing,
  missingTools,
  noOwnMounts,
  numbered,
  refused,
  run,
  tsx,
  walk,
  withoutStarting,
  withoutTool,
} from "./testing.ts";

const { BY_HAND_ALL } = process.env;

/** Any chapter, and one that takes a container. */
const path = numbered("02");
const joining = numbered("03");

/** Runs what cannot start; nothing may be printed but why. Returns that. */
async function refusal(command: string[]): Promise<string> {
  const told = await leavesNothing(() => run(command));
  assert.equal(told.stdout, "");
  return refused(told);
}

describe("chapter() refuses", () => {
  const more = BY_HAND_ALL ? ["--frobnicate", "--container"] : [];
  for (const wrong of ["-x", "--yes=3", "stray", "--rootfs", ...more])
    test(`${wrong}, names it, and shows the usage`, async () => {
      const why = await refusal(tsx(path, "--yes", wrong));
      assert.ok(why.includes(wrong.replace(/=.*/, "")), why);
      assert.ok(why.includes(`\nUsage: ${readHeader(path).run} [`), why);
    });

  for (const [which, ...flags] of [
    [path, "--rootfs", "nonsense"],
    [path, "--rootfs", ""],
    [path, "--container", "web"],
    [joining, "--container", "web", "--rootless"],
    [path, "--rootfs", "busybox", "--challenge"],
  ] as const)
    test(`${flags.join(" ")}, and names ${flags[0]}`, async () => {
      assert.ok((await refusal(tsx(which, "--yes", ...flags))).includes(flags[0]));
    });

  test("a challenge where there is none", async () => {
    assert.match(
      await refusal(tsx(fixture("fails"), "--yes", "--challenge")),
      /no further challenge/,
    );
  });

  test("to ask when there is no terminal", async () => {
    const why = await refusal(tsx(path));
    assert.match(why, /no terminal[^]*--yes[^]*--print/);
  });

  test("to run on anything but Linux", async () => {
    const mac = "data:text/javascript,Object.defineProperty(process,'platform',{value:'darwin'})";
    assert.match(await refusal(tsx("--import", mac, path, "--yes")), /Linux[^]*darwin/);
  });

  test("to start when a tool is missing", { skip: noOwnMounts || missingTools("ps") }, async () => {
    const why = await refusal(withoutTool("ps", tsx(path, "--yes")));
    assert.match(why, /^ps is missing\. .*\bprocps\b.*\bprocps-ng\b/m);
  });
});

describe("chapter() prints", () => {
  test("its header and its flags for --help, on any system", async () => {
    const mac = "data:text/javascript,Object.defineProperty(process,'platform',{value:'darwin'})";
    for (const each of BY_HAND_ALL ? chapters : [path]) {
      const told = await run(withoutStarting(tsx("--import", mac, each, "--help")));
      assert.deepEqual([told.status, told.stderr], [0, ""]);
      const { title, opening, figure, run: usage, see } = readHeader(each);
      const words = (text: string) => text.replace(/[\s*]+/g, " ");
      assert.ok(told.stdout.startsWith(`${title}\n`), inShort(told));
      for (const text of [...opening, usage, see])
        assert.ok(words(told.stdout).includes(words(text)), text);
      assert.ok(told.stdout.includes(`\n${figure}\n`), figure);
      for (const flag of ["--yes", "--print", "--rootless", "--rootfs", "--challenge", "--help"])
        assert.ok(told.stdout.includes(flag), flag);
    }
  });

  test("a script for --print without asking an engine", async () => {
    for (const [which, ...flags] of [
      [path, "--rootfs", "docker:debian"],
      [path, "--rootfs", "podman:debian"],
      [path, "--rootfs", "busybox"],
      [path, "--rootfs", "/no/such.tar.xz"],
      [joining, "--container", "web"],
    ] as const) {
      const told = await run(withoutStarting(tsx(which, "--print", ...flags)));
      assert.deepEqual([told.status, told.stderr], [0, ""], inShort(told));
      assert.match(told.stdout, /^#!\/usr\/bin\/env bash\n# \d\d · /);
    }
  });

  test("nothing if a line with sudo does not say what it changes", async () => {
    const told = await leavesNothing(() => walk(fixture("secretive"), "--yes"));
    assert.deepEqual([told.status, told.stdout], [1, ""]);
    assert.match(told.stderr, /sudo echo too far/);
  });

  test("a stack trace only if DEBUG is set", async () => {
    const { stderr } = await run(tsx(path, "--frobnicate"), { env: { DEBUG: "1" } });
    assert.match(stderr, /^ +at /m);
  });

  test("colours only where they are wanted", { skip: cannotRun }, async () => {
    const command = chapter(fixture("fails"), "--yes");
    const plain = await run(command);
    assert.ok(!(plain.stdout + plain.stderr).includes("\x1b"));
    const forced = await run(command, { env: { FORCE_COLOR: "1" } });
    assert.ok(forced.stdout.includes("\x1b"));
  });

  test("ASCII alone where the locale has no more", { skip: cannotRun }, async () => {
    const told = await run(chapter(fixture("claims"), "--yes"), { env: { LANG: "C" } });
    assert.match(told.stdout, /^ok: the moon is not the sun$/m);
    assert.match(told.stdout, /^NOT SO: the moon is made of cheese$/m);
    assert.doesNotMatch(told.stdout, /[^\x00-\x7f]/);
  });
});

describe("chapter() undoes everything", { skip: cannotRun }, () => {
  test("when a line fails, and says which and why", async () => {
    const told = await leavesNothing(() => walk(fixture("fails"), "--yes"));
    assert.equal(told.status, 1, inShort(told));
    // The line is the last one shown, and below it what it printed.
    assert.match(told.stdout, /^ls no-such-file\n +ls: .*no-such-file.*\n$/m);
    assert.match(told.stderr, /exit status 2\b/);
    assert.match(told.stderr, /^Everything that was done so far is undone\.$/m);
    assert.doesNotMatch(told.stdout, /too far/);
    assert.doesNotMatch(told.stderr, /^ +at /m);
  });

  test("when a claim does not hold, and says which and why", async () => {
    const told = await leavesNothing(() => walk(fixture("claims"), "--yes"));
    assert.equal(told.status, 1, inShort(told));
    assert.match(told.stdout, /^✔ the moon is not the sun\n +the moon +rock\n +the sun +gas$/m);
    assert.match(
      told.stdout,
      /^✘ the moon is made of cheese\n +the moon +rock\n +cheese +milk\n$/m,
    );
    assert.match(told.stderr, /the moon is made of cheese/);
    assert.match(told.stderr, /^Everything that was done so far is undone\.$/m);
    assert.doesNotMatch(told.stdout, /too far/);
  });
});
