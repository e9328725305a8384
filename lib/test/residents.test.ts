import assert from "node:assert/strict";
import { existsSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { clear } from "../cleanup.ts";
import { askLdd, copyListed } from "../ldd.ts";
import { openShell } from "../shell.ts";
import { leavesNothing, mode, notRoot, temporary, tidy } from "./testing.ts";

const roots = {
  "a bind mount": "sudo mount --bind root root",
  "an overlay":
    'mkdir up wk; sudo mount -t overlay -o lowerdir="$PWD"/root,upperdir="$PWD"/up,workdir="$PWD"/wk o root',
};

for (const [kind, mount] of Object.entries(roots))
  test(
    `clear() ends a process whose root, by pivot_root, is ${kind}, and no other`,
    { skip: notRoot },
    () =>
      leavesNothing(async () => {
        const tmp = temporary();
        const directory = mkdtempSync(join(tmp, "by-hand."));
        const sudo = mode === "sudo";
        const shell = openShell(directory, sudo ? "sudo" : "root");
        for (const line of [
          "mkdir root",
          askLdd(["bash", "sleep"]),
          copyListed("root"),
          "mkdir root/old",
          mount,
          // It has a copy of the mount, and its root is the host's.
          'cd /; sudo unshare --mount sleep 1d &> /dev/null & cd "$TMPDIR"; OTHER=$!',
          "sudo unshare --mount bash -c 'cd root; pivot_root . old; cd /; exec sleep 1d' &> /dev/null &",
          "sleep 1; sudo umount root; kill -0 $OTHER",
        ]) {
          const output = await shell.run(line);
          assert.ok(output.ok, `${line}: ${output.stderr}`);
        }
        const other = (await shell.run("echo $OTHER")).stdout.trim();
        assert.equal(clear(directory, shell, sudo), undefined);
        assert.ok(!existsSync(directory));
        const state = shell.runSync(`ps -o stat= -p ${other}`).stdout;
        assert.match(state, /^[^Z]/, "the other was ended");
        shell.runSync(`sudo kill $(pgrep -P ${other}) ${other}`);
        tidy(tmp);
      }),
  );
