import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { findEngine, podmansState } from "../../options/engine.ts";
import {
  agreeUntil,
  atTerminal,
  cannotRun,
  chapter,
  chapters,
  keys,
  leavesNothing,
  missingTools,
  mode,
  numbered,
  refused,
  run,
  succeeds,
  toldToItsEnd,
  tsxEval,
  whyNots,
} from "../testing.ts";

// Before there is a test: while it is awaited, those that there are would run, and end.
const why = await whyNots();

const { XDG_RUNTIME_DIR, DOCKER_HOST } = process.env;
/** A tar with a large root file system, for the tests that want one. */
const large = process.env.BY_HAND_DEBIAN;

/** Any chapter, and the one that joins a container. */
const plain = numbered("02");
const joining = numbered("03");

/** Where this user's Podman keeps its images, and what it knows of running containers. */
const env = () => ({
  HOME: process.env.HOME,
  ...podmansState(),
  ...(XDG_RUNTIME_DIR ? { XDG_RUNTIME_DIR } : {}),
  ...(DOCKER_HOST ? { DOCKER_HOST } : {}),
});

const directory = mkdtempSync(join(tmpdir(), "by-hand-images."));
after(() => rmSync(directory, { recursive: true }));

/** Runs a line of shell and returns what it prints. */
const sh = (line: string) =>
  execFileSync("bash", ["-c", line], { encoding: "utf8", stdio: "pipe" });

/** Packs the root file system that --rootfs busybox makes. */
function packBusybox(): string {
  const tar = join(directory, "busybox.tar");
  sh(`cd ${directory}; mkdir -p root/bin root/proc root/tmp; cp "$(type -P busybox)" root/bin
    for name in $(busybox --list | grep -vx busybox); do ln -s busybox root/bin/$name; done
    tar --create --file ${tar} --directory root .`);
  return tar;
}

for (const name of ["docker", "podman"] as const) {
  const engine = findEngine(name, mode === "sudo");
  const { title, command } = engine;
  const skip = cannotRun || missingTools(name, "busybox", "tar") || (engine.refusal ?? false);
  const image = `by-hand-test-${process.pid}`;

  describe(title, { skip }, () => {
    /** The containers of our images, each as a line: somebody else's come and go. */
    const containers = () =>
      sh(`${command} ps --all --format '{{.ID}} {{.Image}}'`)
        .split("\n")
        .filter((line) => line.includes(image));

    /** Tells a chapter, which must leave the machine and the engine as they were. */
    async function walk(path: string, ...flags: string[]) {
      const had = containers();
      const result = await leavesNothing(() =>
        run(chapter(path, "--yes", ...flags), { env: env() }),
      );
      assert.deepEqual(containers(), had);
      return result;
    }

    before(() => sh(`${command} import ${packBusybox()} ${image}`));
    after(() => sh(`${command} rmi --force ${image}`));

    const source = `${name}:${image}`;
    // An image of the other engine's differs only in how it is fetched.
    for (const path of name === "docker" ? chapters : [plain, numbered("11")])
      test(`${path} with --rootfs ${name}:IMAGE`, { skip: why.get(path) }, async () => {
        const { stdout } = toldToItsEnd(await walk(path, "--rootfs", source));
        assert.match(stdout, new RegExp(`^(sudo )?${name} create `, "m"));
        assert.match(stdout, /^ +rows that are equal +[1-9]\d* of 18$/m);
        if (mode === "rootless") return;
        assert.match(stdout, new RegExp(`^ +first process +yours +${title}'s$`, "m"));
        assert.match(stdout, /^ +(\d+ +seccomp, filters +0 0|= +seccomp, filters +2 1) +2 1$/m);
        const pivots = /\/(05|07|09|11)-/.test(path);
        assert.match(stdout, pivots ? /^ += +whoever joins/m : /^ +5 +whoever joins/m);
      });

    test(
      "a chapter is printed with lines for a container of its own",
      { skip: mode === "rootless" && "no engine is in reach there" },
      async () => {
        const { stdout } = await run(chapter(plain, "--print", "--rootfs", source));
        assert.match(stdout, /^(sudo )?\w+ run --detach /m);
      },
    );

    test(
      "--rootless packs the image first",
      { skip: mode !== "root" && "runs like that anyway" },
      async () => {
        const flags = ["--rootfs", source, "--rootless"];
        const { stdout } = toldToItsEnd(await walk(plain, ...flags));
        assert.match(stdout, / export .* > image\.tar$/m);
      },
    );

    test(
      "what is in XDG_RUNTIME_DIR is run by nobody",
      { skip: (name === "docker" || mode !== "root") && "is for root and Podman" },
      async () => {
        const place = join(directory, "a' $(kill -9 $$)");
        mkdirSync(place);
        const command = chapter(plain, "--yes", "--rootfs", source);
        toldToItsEnd(await run(command, { env: { ...env(), XDG_RUNTIME_DIR: place } }));
      },
    );

    test("a name that is no image is refused", async () => {
      const flags = ["--rootfs", `${name}:by-hand-test-no-such-image`];
      const stderr = refused(await walk(plain, ...flags));
      assert.match(stderr, /^(Docker|Podman) has no image by-hand-test-no-such/m);
      assert.equal(stderr.trim().split("\n").length, 1);
    });

    for (const signal of ["SIGTERM", "SIGKILL"] as const)
      test(`${signal} leaves no container`, async () => {
        const had = containers();
        const tmp = mkdtempSync(join(directory, "tmp."));
        const { status } = await run(chapter(plain, "--yes", "--rootfs", source), {
          env: env(),
          tmp,
          once: {
            prints: new RegExp(`^(sudo )?${name} export `, "m"),
            then: (child) => child.kill(signal),
          },
        });
        assert.equal(status, signal === "SIGTERM" ? 143 : null);
        // The next chapter finds what was left by one that could not clear up.
        if (signal === "SIGKILL") await run(chapter(plain, "--yes"), { env: env(), tmp });
        assert.deepEqual(containers(), had);
        assert.ok(!existsSync(tmp));
      });

    describe("--container NAME", { skip: mode === "rootless" && "takes root" }, () => {
      const container = `${image}-running`;
      const start = () =>
        sh(`${command} run --detach --rm --network none --name ${container} ${image} sleep 1d`);
      const stop = () => succeeds("bash", "-c", `${command} kill ${container}`);
      after(stop);

      test("joins it, as exec does", async () => {
        start();
        const flags = ["--container", container];
        const { stdout } = toldToItsEnd(await walk(joining, ...flags));
        assert.match(stdout, /^✔ exec leads into the five namespaces of that process$/m);
        assert.match(stdout, /^ +\d+ +seccomp, filters +0 0 +2 1$/m);
      });

      test("ends with a sentence when it stops while joined", async () => {
        const flags = ["--container", container];
        const { status, output } = await atTerminal(
          chapter(joining, ...flags),
          { env: env() },
          async (reader) => {
            const { sees, types } = reader;
            await agreeUntil(reader, /--target "\$THEIRS"/);
            types(keys.down + keys.enter);
            await sees(/\/ # /);
            stop();
          },
        );
        assert.match(output, /^The container \S+ has stopped\.$/m);
        assert.match(output, /^Everything that was done so far is undone\.$/m);
        assert.equal(status, 1);
      });

      test("is refused when there is none of that name", async () => {
        const flags = ["--container", container];
        const stderr = refused(await walk(joining, ...flags));
        assert.match(stderr, /^There is no container /m);
      });
    });

    for (const path of large ? [plain, numbered("11")] : [])
      test(`${path} with a large image`, { skip: why.get(path) }, async () => {
        sh(`${command} import ${large} ${image}-large`);
        try {
          toldToItsEnd(await walk(path, "--rootfs", `${source}-large`));
        } finally {
          sh(`${command} rmi --force ${image}-large`);
        }
      });
  });
}

test(
  "Docker that is installed but not running is named",
  { skip: cannotRun || missingTools("docker") },
  async () => {
    const command = chapter(plain, "--yes", "--rootfs", "docker:any");
    const env = { DOCKER_HOST: `unix://${directory}/no-socket` };
    assert.match(
      refused(await run(command, { env })),
      /^Docker is installed, but not running\. Start it/m,
    );
  },
);

test(
  "Docker's socket that is out of reach is explained",
  {
    skip:
      (mode !== "rootless" && "is for who has no root") ||
      missingTools("docker") ||
      (!/permission denied/i.test(spawnSync("docker", ["version"], { encoding: "utf8" }).stderr) &&
        "Docker does not run, or is in reach"),
  },
  async () => {
    const command = chapter(plain, "--yes", "--rootfs", "docker:any");
    assert.match(refused(await run(command)), /no permission on Docker's socket/);
  },
);

test("where Podman keeps no state yet, no place is made up for it", async () => {
  const code = `const { findEngine } = await load("options/engine.ts");
    findEngine("podman", false);
    console.log(JSON.stringify(process.env.XDG_RUNTIME_DIR ?? null));`;
  // A TMPDIR of its own, and no XDG_RUNTIME_DIR.
  const { stdout, stderr } = await run(tsxEval(code), {
    tmp: mkdtempSync(join(directory, "tmp.")),
  });
  assert.equal(stdout, "null\n", stderr);
});

const packers = { "": "cat", ".gz": "gzip -1", ".xz": "xz -0", ".zst": "zstd" };
for (const [ending, packer] of large ? Object.entries(packers) : [])
  test(`${plain} with a large tar${ending}`, async () => {
    const tar = join(directory, `large.tar${ending}`);
    sh(`${packer} < ${large} > ${tar}`);
    toldToItsEnd(await leavesNothing(() => run(chapter(plain, "--yes", "--rootfs", tar))));
  });
