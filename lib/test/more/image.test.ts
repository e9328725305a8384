/**
 * Chapter 10: what Docker, Podman and skopeo make of an image that was made by hand, and that each of
 * its claims can fail.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findEngine, podmansState } from "../../options/engine.ts";
import { answers } from "../answers/10-image.ts";
import { testLies } from "../lies.ts";
import {
  agree,
  agreeUntil,
  atTerminal,
  cannotRun,
  chapter,
  fixture,
  inShort,
  keys,
  leavesNothing,
  missingTools,
  mode,
  numbered,
  run,
  tsx,
  whyNot,
} from "../testing.ts";

const path = numbered("10");
const why = cannotRun || (await whyNot(path));

// ── Claims

await testLies("10", {
  "the same files, and another checksum": [
    "tar",
    'case "$*" in "-C base -c .") set -- --mtime=@0 "$@" ;; esac',
  ],
  "now it is the same": ["tar", 'set -- "${@/--mtime=@0/--mtime=@$$}"'],
  "the manifest is the one you made": [
    "curl",
    'case "$*" in *manifests/1) $REAL "$@"; echo; exit ;; esac',
  ],
  "the config names what is in the layer": [
    "gzip",
    'case "$*" in "-dc "*) echo other; exit ;; esac',
  ],
  "what came is something else": ["dd", "exit"],
  "it has the second layer": ["mount", 'set -- "${@/lowerdir=2:1/lowerdir=1:2}"'],
  "and not what that deleted": ["mknod", "exit"],
  "only what was missing had to be sent": [
    "curl",
    'case "$*" in *-sI*) printf "200 "; exit ;; esac',
  ],
});

// ── Engines

for (const name of ["docker", "podman"] as const) {
  const engine = findEngine(name, mode === "sudo");
  const { title, command } = engine;
  const noEngine = missingTools(name) || (mode === "rootless" && "no engine is in reach there");
  const skip = why || noEngine || (engine.refusal ?? false);

  test(
    `${title} pulls from chapter 10's registry, runs the image, and calls all by the same names`,
    { skip },
    () =>
      leavesNothing(async () => {
        const { XDG_RUNTIME_DIR, DOCKER_HOST, HOME } = process.env;
        const env = {
          HOME,
          ...podmansState(),
          ...(XDG_RUNTIME_DIR && { XDG_RUNTIME_DIR }),
          ...(DOCKER_HOST && { DOCKER_HOST }),
        };
        const pull = name === "docker" ? "pull" : "pull --tls-verify=false";
        const says = (what: string) => `${command} image inspect --format '${what}' $AT/box:1`;
        const { status, output } = await atTerminal(
          chapter("10"),
          { env, cols: 200 },
          async (reader) => {
            const { sees, types } = reader;
            const answer = async (line: string) => {
              types(`${line}; echo "status $?"\r`);
              // What is typed is echoed, with a dollar.
              return sees(/[^]*?\bstatus \d+\s/);
            };
            await agreeUntil(reader, /── Unpack, mount, start|^N=0/m);
            types(keys.down + keys.enter);
            await sees(/[#$] $/);
            try {
              await answer(
                "cp $BLOBS/$LAYER good; printf X | dd of=$BLOBS/$LAYER bs=1 seek=4 conv=notrunc status=none",
              );
              const spoilt = await answer(`${command} ${pull} $AT/box:1`);
              assert.match(spoilt, /filesystem layer verification failed|[Dd]igest did not match/);
              assert.match(spoilt, /\bstatus [1-9]/);
              await answer("cp good $BLOBS/$LAYER");
              assert.match(await answer(`${command} ${pull} $AT/box:1`), /\bstatus 0/);
              const ours = /sha256:\w{64}/g;
              const digest = (await answer("bash digest manifest.json")).match(ours)!;
              assert.deepEqual(
                (await answer(says("{{.RepoDigests}}"))).match(ours)!.at(-1),
                digest[0],
              );
              const id = (await answer("bash digest config.json")).match(ours)![0].slice(7);
              assert.ok((await answer(says("id {{.Id}}"))).includes(id));
              const tars = (await answer("bash digest base.tar; bash digest app.tar")).match(ours);
              assert.deepEqual((await answer(says("{{.RootFS.Layers}}"))).match(ours), tars);
              assert.match(
                await answer(`${command} run --rm --network none $AT/box:1`),
                /^\r?greetings from app$/m,
              );
            } finally {
              await answer(`${command} image rm --force $AT/box:1`);
            }
            types("exit\r");
            await agree(reader);
          },
        );
        assert.equal(status, 0, output);
      }),
  );
}

// ── The layout

const layout = answers[2]!.find(({ missing }) => !missing)!;
for (const [tool, line] of [
  ["skopeo", "skopeo --insecure-policy copy oci:layout dir:copy; ls copy"],
  [
    "podman",
    "podman pull oci:layout 2>&1 | tail -n 1 > id; cat id; podman image inspect --format 'layers {{len .RootFS.Layers}}' $(cat id); podman image rm --force $(cat id)",
  ],
] as const)
  test(
    `${tool} takes the layout of challenge 3`,
    {
      skip:
        why ||
        missingTools(tool) ||
        (mode === "rootless" && tool === "podman" && "Podman is out of reach there"),
    },
    async () => {
      const answer = JSON.stringify({ lines: [...layout.lines, line], missing: {} });
      const { HOME } = process.env;
      const env = { HOME, ...podmansState() };
      const told = await leavesNothing(() =>
        run(tsx(fixture("attempt"), path, "2", "3000", answer), { env }),
      );
      const judged = JSON.parse(told.stdout.trimEnd().split("\n").at(-1)!) as unknown[];
      assert.ok(
        judged.every((answer) => answer === true),
        inShort(told),
      );
      assert.match(
        told.stdout,
        tool === "skopeo" ? /^manifest\.json$/m : /^layers 2$/m,
        inShort(told),
      );
    },
  );
