/**
 * Chapter 8: for each of its claims, a machine on which it does not hold.
 *
 * A tool is another there: one that does something else, or says something else. The root file
 * system is BusyBox's, so that nothing of it gets into that.
 */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { sandboxFor } from "../../options/rootless.ts";
import { findProgram } from "../../shell.ts";
import {
  claimsIn,
  inShort,
  leavesNothing,
  missingTools,
  mode,
  numbered,
  run,
  temporary,
  toldToItsEnd,
  tsx,
  whyNot,
} from "../testing.ts";

const path = numbered("08");
const chapter = tsx(path, "--yes", "--rootfs", "busybox");

/** `stat` prints something else of a file. */
const stat = (file: string, printed: string): [string, string] => [
  "stat",
  `case "$*" in *\\ ${file}) printf '${printed}\\n' ;; *) exec "$real" "$@" ;; esac`,
];

/** For each claim: a tool, and what it is there, where $real is its file. */
const lies: Record<string, [tool: string, script: string]> = {
  "inside, it has another owner": stat("mine", "65534"),
  "it has every right that the kernel knows": ["grep", `"$real" "$@" | sed s/1ffff/1fffe/`],
  "nobody had none": [
    "unshare",
    `if [ "$2" = bash ]; then set -- --keep-caps "$@"; fi; exec "$real" "$@"`,
  ],
  "the name that it gave is not the host's": ["hostname", `if [ $# = 0 ]; then echo own; fi`],
  "outside, the process is yours": stat("/proc/*", "4711"),
  "what root makes in there is yours": stat("rootfs/by-root", "4711"),
  "your file is nobody's in there": ["tee", `echo 0 0 1 | "$real" "$@"`],
  "outside, 0 and 7 are what the map makes of them": stat("rootfs/by-seven", "100000\\n100008"),
};

/** The chapter after some lines of shell, where the mounts are nobody else's. */
function where(setup: string, ...args: string[]): string[] {
  const own = mode === "root" ? "unshare --mount" : sandboxFor(["ids"]);
  const script = `${setup}\nexec "$@"`;
  return ["bash", "-c", `exec ${own} bash -ec "$0" - "$@"`, script, ...args];
}

const skip = (await whyNot(path)) || missingTools("busybox");

test("a claim of chapter 8 does not hold where", { skip, concurrency: 4 }, async (t) => {
  await leavesNothing(async () => {
    const tests = Object.entries(lies).map(([claim, [tool, script]], at) =>
      t.test(`${tool} is another: ${claim}`, async () => {
        const tmp = temporary();
        const place = dirname(tmp);
        const [real, lie] = [join(place, tool), join(place, `lie-${tool}`)];
        chmodSync(place, 0o755);
        copyFileSync(findProgram(tool)!, real);
        writeFileSync(lie, `#!/bin/bash\nreal=${real}\n${script}\n`, { mode: 0o755 });
        const setup = `mount --bind ${lie} ${findProgram(tool)}`;
        const told = await run(where(setup, ...chapter), { tmp });
        assert.equal(told.status, 1, inShort(told));
        assert.match(told.stderr, new RegExp(`^This claim does not hold: ${claim}$`, "m"));
        assert.equal(claimsIn(told.stdout).length, at, inShort(told));
        rmSync(place, { recursive: true });
      }),
    );
    const truth = t.test("nothing is: then all of them do, and they are these", async () => {
      const { stdout } = toldToItsEnd(await run(where("", ...chapter)));
      assert.deepEqual(claimsIn(stdout), Object.keys(lies));
    });
    await Promise.all([...tests, truth]);
  });
});
