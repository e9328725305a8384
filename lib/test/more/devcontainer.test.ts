/**
 * The course in a container made as .devcontainer says: by Docker, of Debian 12 with what the README names.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { chapters, checkout, file, inShort, mode, run, succeeds } from "../testing.ts";

const { BY_HAND_DEBIAN: tar, BY_HAND_RUNTIMES: runtimes } = process.env;
const { runArgs } = JSON.parse(readFileSync(file(".devcontainer/devcontainer.json"), "utf8")) as {
  runArgs: string[];
};

/** Root may lack a capability, and then cannot give all of them: so this is --privileged, without that. */
const privileged = [
  ...["--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"],
  ...["seccomp", "apparmor", "systempaths"].flatMap((it) => ["--security-opt", `${it}=unconfined`]),
];
const [, bounds = "0"] = /^CapBnd:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))!;
const hasAll = BigInt(`0x${bounds}`) & (1n << 24n);
const how = runArgs.flatMap((each) => (each === "--privileged" && !hasAll ? privileged : [each]));

const skip =
  (mode !== "root" && "needs root") ||
  (!(tar && runtimes) && "BY_HAND_DEBIAN or BY_HAND_RUNTIMES is not set") ||
  (!succeeds("docker", "version") && "no Docker daemon answers");

describe("in a container as .devcontainer makes it", { skip }, async () => {
  const image = `by-hand-devcontainer-${process.pid}`;
  const docker = async (...args: string[]) => run(["docker", ...args], { timeout: 300_000 });

  test("every chapter is told to its end, or says what a container lacks", async () => {
    const imported = await docker("import", tar!, image);
    assert.equal(imported.status, 0, inShort(imported));
    try {
      const node = join(runtimes!, "node_modules/node22/bin/node");
      const mounts = ["--volume", `${checkout}:/course:ro`, "--volume", `${node}:/usr/bin/node:ro`];
      const script = `cd /course; for chapter; do node --import tsx "chapters/$chapter" --yes >&2; echo "$chapter: $?"; done`;
      const names = chapters.map((path) => basename(path));
      const where = ["--rm", "--network", "none", ...how, ...mounts];
      const told = await docker("run", ...where, image, "bash", "-c", script, "bash", ...names);
      const expected = names.map((name) => `${name}: ${/cgroup/.test(name) ? 2 : 0}`);
      assert.deepEqual(told.stdout.trim().split("\n"), expected, inShort(told));
    } finally {
      await docker("rmi", image);
    }
  });
});
