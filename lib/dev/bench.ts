/**
 * How fast it is, as ratios: what this project adds to the bare commands, and
 * how it compares with others that do the same.
 *
 * Each row measures two things alternately, so that what else the machine does
 * meets both. Its ratio is the median over all runs, with the quartiles.
 *
 * @run npm run bench (as root)
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { basename, join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { spawn as spawnAtTerminal } from "@lydell/node-pty";
import { clear, makeDirectory, register } from "../cleanup.ts";
import { chaptersIn } from "../header.ts";
import { askLdd, copyListed } from "../rootfs.ts";
import { mark, openShell } from "../shell.ts";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const tsx = file("../../node_modules/.bin/tsx");
const bare = file("../test/fixtures/bare.ts");
const lines = file("../test/fixtures/lines.ts");
const chapters = chaptersIn(file("../../chapters"));

const directory = makeDirectory();
const shell = openShell(directory, "root");
process.on("exit", () => {
  for (const engine of ["docker", "podman"])
    spawnSync(engine, ["rmi", "--force", image], { stdio: "ignore" });
  const left = clear(directory, shell, false);
  if (left) console.error(left);
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

// ── Measuring

/** What one run took: milliseconds, or mebibytes. */
type Measure = () => number | Promise<number>;

interface Row {
  measure: string;
  against: string;
  /** What the ratio should not exceed; left out, it is only reported. */
  reach?: number;
  runs?: number;
  ours: Measure;
  theirs: Measure;
}

/** Runs a command to its end; returns milliseconds. */
function time(command: string[], env: NodeJS.ProcessEnv = {}): number {
  const start = performance.now();
  run(command, env);
  return performance.now() - start;
}

/** Runs a command to its end; returns what it printed. */
function run(command: string[], env: NodeJS.ProcessEnv = {}): string {
  const { status, error, stdout, stderr } = spawnSync(command[0]!, command.slice(1), {
    ...{ cwd: directory, encoding: "utf8", maxBuffer: 1 << 28 },
    // Below 2, a bash that node starts reads ~/.bashrc, which may take any time.
    env: { ...process.env, SHLVL: "2", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (status !== 0) throw new Error(`${command.join(" ")}: ${error ?? stderr.trim()}`);
  return stdout;
}

const bash = (line: string) => ["bash", "-c", line];

/** Milliseconds from the start of a program to the question it asks at a terminal. */
function toFirstPrompt(program: string): Promise<number> {
  const start = performance.now();
  const pty = spawnAtTerminal(tsx, [program], {
    ...{ cols: 100, rows: 30, cwd: directory },
    env: { ...process.env, LANG: "C.UTF-8", TERM: "xterm" },
  });
  let [screen, taken] = ["", 0];
  pty.onData((text) => {
    screen += text;
    if (taken || !screen.includes("Stop here")) return;
    taken = performance.now() - start;
    pty.write("\x03");
  });
  return new Promise((resolve, reject) =>
    pty.onExit(() => (taken ? resolve(taken) : reject(new Error(screen)))),
  );
}

/** The most memory that a program ever held, in MiB. See proc_pid_status(5). */
function peakMemory(...program: string[]): number {
  const peak = join(directory, "peak");
  const tell = `import { readFileSync, writeFileSync } from "node:fs";
    process.on("exit", () => writeFileSync("${peak}", readFileSync("/proc/self/status")));`;
  const hook = `data:text/javascript,${encodeURIComponent(tell)}`;
  const loader = import.meta.resolve("tsx");
  run([process.execPath, "--import", loader, "--import", hook, ...program]);
  const [, kib] = /^VmHWM:\s*(\d+)/m.exec(readFileSync(peak, "utf8")) ?? [];
  return Number(kib) / 1024;
}

/** A chapter as a script of bash, by its path, and how many lines that has which are run on their own. */
function printed(chapter: string): { script: string; lines: number } {
  const script = join(directory, `${basename(chapter)}.sh`);
  if (!existsSync(script)) writeFileSync(script, run([tsx, chapter, "--print"]));
  const outside = readFileSync(script, "utf8").replace(/<<'(END|INSIDE)'\n[^]*?\n\1$/gm, "");
  return { script, lines: outside.match(/^(?!#|command -v sudo).+$/gm)!.length };
}

/** Milliseconds that one more line takes: 110 of them less 10 of them, by 100. */
function oneMore(measure: (lines: number) => number): number {
  return (measure(110) - measure(10)) / 100;
}

// ── What is measured

const tools = "bash cat ls ps mount hostname ip id grep sed".split(" ");

/** Copies programs in a fresh directory, by lines of shell; returns milliseconds and files. */
function copying(line: string) {
  const rootfs = join(directory, "copies");
  mkdirSync(rootfs);
  const taken = time(bash(`${line} > copying.log 2>&1`));
  const files = Number(run(bash("find copies -type f | wc -l")));
  rmSync(rootfs, { recursive: true });
  return { taken, files };
}

const ourWay = (programs: string[]) => copying(`{ ${askLdd(programs)}; ${copyListed("copies")}; }`);

const seedsWay = (programs: string[]) =>
  copying(
    `for program in $(type -P ${programs.join(" ")}); do cp --parents $program copies; ldd $program | grep -o '/lib.*\\.[0-9]' | xargs -I{} cp --parents {} copies; done`,
  );

/** The first so many programs of /usr/bin that are neither scripts nor links (nor `[`, which xargs quotes). */
function someOf(count: number): string[] {
  const found = run(
    bash(
      `find /usr/bin -type f -perm -1 -exec grep -lm1 '^.ELF' {} + | grep -v '\\[' | sort | head -n ${count}`,
    ),
  );
  return found.trim().split("\n");
}

const perFile = (programs: string[]) => {
  const { taken, files } = ourWay(programs);
  return taken / files;
};

const perProgram = (programs: string[]) => ourWay(programs).taken / programs.length;

const image = `by-hand-bench-${process.pid}`;

/** One container, start to end, with `true` in it. All have the same root file system. */
const ours = `unshare --mount --uts --ipc --net --pid --fork --mount-proc --root rootfs true`;

/** The same with all that chapter 11's script makes, and removed again. */
const byHand = "NAME=$(./by-hand run rootfs true) && ./by-hand rm $NAME";

/** Takes that script out of the chapter. */
function writeByHand() {
  const printed = run([tsx, chapters.at(-1)!, "--print"]);
  const parts = printed.matchAll(/^cat >>? by-hand <<'END'\n([^]*?)^END$/gm);
  const script = [...parts].map(([, text]) => text).join("");
  writeFileSync(join(directory, "by-hand"), script, { mode: 0o755 });
}

/** A bundle whose container has a cgroup of its own, and not one below ours. */
const bundle = `mkdir -p bundle/rootfs; cp -a rootfs/. bundle/rootfs; cd bundle; rm -f config.json; runc spec; sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"true"/; s|"linux": {|&"cgroupsPath": "/${image}",|' config.json`;
const podman = "podman --cgroup-manager cgroupfs $(type -P runc >/dev/null && echo --runtime runc)";
const engines: [name: string, prepare: string, container: string][] = [
  ["runc", bundle, `runc run --bundle bundle ${image}`],
  ["crun", bundle, `crun run --bundle bundle ${image}`],
  [
    "bwrap",
    "",
    "bwrap --unshare-uts --unshare-ipc --unshare-net --unshare-pid --bind rootfs / --proc /proc true",
  ],
  [
    "docker",
    `tar -C rootfs -c . | docker import - ${image}`,
    `docker run --rm --network none ${image} true`,
  ],
  [
    "podman",
    `tar -C rootfs -c . | ${podman} import - ${image}`,
    `${podman} run --rm --network none --ulimit nofile=1024:4096 --ulimit nproc=1000:1000 ${image} true`,
  ],
];

/** The engines that are installed and work, as rows; prints why others are not. */
function containers(): Row[] {
  writeByHand();
  run(bash(`mkdir -p rootfs/proc; ${askLdd(["true"])} >/dev/null; ${copyListed("rootfs")}`));
  return engines.flatMap(([name, prepare, container]) => {
    try {
      run(bash(`type -P ${name} || { echo not installed >&2; false; }`));
      run(bash(`set -o pipefail; ${prepare}`));
      run(bash(container));
    } catch (error) {
      console.log(`Left out: ${name}. ${(error as Error).message}`);
      return [];
    }
    const against = container.replace(podman, "podman").replace(image, "IMAGE");
    const theirs = () => time(bash(container));
    return [
      {
        measure: "the container of chapter 2, with `true` in it",
        ...{ against, reach: 1, theirs },
        ours: () => time(bash(ours)),
      },
      {
        measure: "chapter 11's by-hand, run and rm",
        ...{ against, theirs },
        reach: { docker: 0.2, podman: 0.2, runc: 1 }[name],
        ours: () => time(bash(byHand)),
      },
    ];
  });
}

/** Where groups of version 2 are made. */
const groups = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].find((top) =>
  existsSync(join(top, "cgroup.controllers")),
);

/**
 * Milliseconds to clear a directory with 20 mounts, one of them of a network namespace with 10
 * interfaces, and 5 processes; and 3 cgroups.
 */
async function clearing(how: (crowd: string, pids: string, made: string[]) => void) {
  if (!groups) throw new Error("no cgroups of version 2");
  const crowd = mkdtempSync(join(directory, "crowd-"));
  const pids = run(
    bash(
      `cd ${crowd}; export ${mark}=${basename(crowd)}; for n in {1..19}; do mkdir m$n; mount -t tmpfs none m$n; done
      touch net; unshare --net=net true; for n in {1..5}; do nsenter --net=net ip link add a$n type veth peer name b$n; done
      for n in {1..5}; do sleep 1d >&- 2>&- & echo $!; done`,
    ),
  );
  const made = [1, 2, 3].map((number) => `${groups}/${basename(crowd)}.${number}`);
  const its = openShell(crowd, "root");
  for (const group of made) {
    await register(`rmdir ${group}`, its);
    mkdirSync(group);
  }
  const start = performance.now();
  how(crowd, pids.replaceAll("\n", " "), made);
  const taken = performance.now() - start;
  if ([crowd, ...made].some(existsSync)) throw new Error(`${crowd} is still there`);
  return taken;
}

/**
 * Mounts so many layers and reads the file of the lowest; returns milliseconds.
 *
 * By mount(2): fsconfig(2), which newer mounts use, takes 255 bytes for an option.
 */
function overlay(lowers: number): number {
  const taken = time(
    bash(
      `cd layers; LIBMOUNT_FORCE_MOUNT2=always mount -t overlay overlay -o lowerdir=$(seq -s: 1 ${lowers}) merged && cat merged/file-${lowers}`,
    ),
  );
  run(["umount", "layers/merged"]);
  return taken;
}

// ── Pulling

/** Bash that makes an image of so many layers, and pushes it to $AT as box:N. */
const pushing = String.raw`digest() { sha256sum < $1 | sed 's/\(\w*\).*/sha256:\1/'; }
  item() { echo '{"mediaType":"application/vnd.oci.image.'$2'","size":'$(stat -c %s $1)',"digest":"'$(digest $1)'"}'; }
  push() { to=$(curl -sSi -X POST $BOX/blobs/uploads/ | tr -d '\r' | sed -n 's/^location: //Ip')
    curl -sSf -X PUT -H 'Content-Type: application/octet-stream' --data-binary @$1 "$to&digest=$(digest $1)"; }
  mkdir image-$N; cd image-$N; BOX=http://$AT/v2/box; LAYERS=; IDS=
  for n in $(seq $N); do mkdir $n; seq $((n * 10000)) > $n/file-$n; tar -C $n -cf $n.tar .; IDS+=",\"$(digest $n.tar)\""
    gzip $n.tar; push $n.tar.gz; LAYERS+=,$(item $n.tar.gz layer.v1.tar+gzip); done
  echo '{"architecture":"'$ARCH'","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":['$(cut -c 2- <<< $IDS)']}}' > config; push config
  echo '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":'$(item config config.v1+json)',"layers":['$(cut -c 2- <<< $LAYERS)']}' > manifest
  curl -sSf -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary @manifest $BOX/manifests/$N`;

/** What chapter 10 does: it fetches, checks, and unpacks. */
const ourPull = String.raw`mkdir -p pulled/blobs && cd pulled && curl -sS -H 'Accept: application/vnd.oci.image.manifest.v1+json' $BOX/manifests/$N > manifest
  NAMES=$(grep -o 'sha256:[0-9a-f]*' manifest); for NAME in $NAMES; do curl -sS $BOX/blobs/$NAME -o blobs/$NAME; done
  printf "%s\n" $NAMES | sed 's/sha256:\(.*\)/\1  blobs\/&/' | sha256sum --check --quiet
  for NAME in $(tail -n +2 <<< "$NAMES"); do mkdir $NAME; tar -xzf blobs/$NAME -C $NAME; done`;

/** Images from Debian's registry, by the tools that are installed and work, as rows. */
function pulls(): Row[] {
  const port = 5000 + (process.pid % 20000);
  writeFileSync(
    join(directory, "registry.yml"),
    `{ version: 0.1, storage: { filesystem: { rootdirectory: ${directory}/registry } }, http: { addr: 127.0.0.1:${port} } }`,
  );
  const at = `127.0.0.1:${port}`;
  const registry = spawn("docker-registry", ["serve", join(directory, "registry.yml")], {
    ...{ stdio: "ignore", cwd: directory },
  });
  registry.on("error", () => {});
  registry.unref();
  process.on("exit", () => registry.kill());
  const processor = { x64: "amd64" }[process.arch as "x64"] ?? process.arch;
  return [2, 20].flatMap((count) => {
    const image = `${at}/box:${count}`;
    const env = { AT: at, N: String(count), ARCH: processor, BOX: `http://${at}/v2/box` };
    try {
      run(
        bash(`timeout 9 bash -c 'until curl -s ${at}/v2/; do sleep .1; done'; set -e; ${pushing}`),
        env,
      );
    } catch (error) {
      // After the whole of the script: what it said.
      console.log(`Left out: pulling. ${(error as Error).message.split("\n").at(-1)}`);
      return [];
    }
    const tools: [name: string, pull: string, remove: string][] = [
      ["docker", `docker pull ${image}`, `docker rmi ${image}`],
      ["podman", `${podman} pull --tls-verify=false ${image}`, `${podman} rmi ${image}`],
      [
        "skopeo",
        `skopeo copy --src-tls-verify=false docker://${image} dir:copied`,
        "rm -rf copied",
      ],
    ];
    return tools.flatMap(([name, line, remove]): Row[] => {
      const theirs = () => {
        const taken = time(bash(line));
        run(bash(remove));
        return taken;
      };
      try {
        theirs();
      } catch (error) {
        console.log(`Left out: ${name} pull. ${(error as Error).message}`);
        return [];
      }
      return [
        {
          measure: `pulling an image of ${count} layers by chapter 10's lines`,
          against: line.replace(podman, "podman").replaceAll(at, "REGISTRY"),
          ...{ reach: name === "docker" ? 1 : undefined, theirs },
          ours: () => {
            const taken = time(bash(ourPull), env);
            run(bash("rm -rf pulled"));
            return taken;
          },
        },
      ];
    });
  });
}

function rows(): Row[] {
  run(
    bash(
      "mkdir -p layers/merged; cd layers; for n in {1..100}; do mkdir $n; echo $n > $n/file-$n; done",
    ),
  );
  const env = (count: number) => ({ BY_HAND_LINES: String(count) });
  const lineInChapter = () => oneMore((count) => time([tsx, lines, "--yes"], env(count)));
  return [
    ...chapters.map((chapter, index) => ({
      measure: `chapter ${index + 1} at a terminal, to its first prompt`,
      against: "a bare script that asks",
      reach: 1.08,
      ours: () => toFirstPrompt(chapter),
      theirs: () => toFirstPrompt(bare),
    })),
    ...chapters.flatMap((chapter, index) => {
      // Some take ten seconds.
      const its = {
        ...{ measure: `chapter ${index + 1} with --yes`, runs: 5 },
        ours: () => time([tsx, chapter, "--yes"]),
      };
      return [
        {
          ...{ ...its, reach: 1.08 },
          against: "a bare zx script with as many lines, then bash with --print",
          theirs: () => {
            const { script, lines } = printed(chapter);
            return time([tsx, bare], env(lines)) + time(["bash", script]);
          },
        },
        {
          ...its,
          against: "a bare script, then bash with --print",
          theirs: () => time([tsx, bare]) + time(["bash", printed(chapter).script]),
        },
      ];
    }),
    {
      measure: "one more line in a chapter",
      against: "bash -c in a bash script",
      ours: lineInChapter,
      theirs: () => oneMore((count) => time(bash(`for n in {1..${count}}; do bash -c true; done`))),
    },
    {
      measure: "one more line in a chapter",
      against: "one more $`…` in a bare zx script",
      reach: 1.1,
      ours: lineInChapter,
      theirs: () => oneMore((count) => time([tsx, bare], env(count))),
    },
    {
      measure: "peak memory of chapter 2",
      against: "a bare script",
      reach: 1.1,
      ours: () => peakMemory(chapters[1]!, "--yes"),
      theirs: () => peakMemory(bare),
    },
    {
      measure: `copying ${tools.length} programs with their libraries`,
      against: "one by one, as the seed does",
      reach: 0.4,
      ours: () => ourWay(tools).taken,
      theirs: () => seedsWay(tools).taken,
    },
    ...[100, 500].flatMap((count) => [
      {
        measure: `copying ${count} programs, for each file`,
        against: "copying 10 programs, for each file",
        ...{ reach: 1, runs: 5 },
        ours: () => perFile(someOf(count)),
        theirs: () => perFile(someOf(10)),
      },
      // Of the files most are libraries that several programs share.
      {
        measure: `copying ${count} programs, for each program`,
        against: "copying 10 programs, for each program",
        runs: 5,
        ours: () => perProgram(someOf(count)),
        theirs: () => perProgram(someOf(10)),
      },
    ]),
    ...containers(),
    ...pulls(),
    {
      measure: "clearing 20 mounts, 5 processes, 10 interfaces and 3 cgroups",
      against: "kill, rmdir, umount and rm in one line",
      reach: 2.5,
      ours: () => clearing((crowd) => void clear(crowd, shell, false)),
      theirs: () =>
        clearing((crowd, pids, made) =>
          run(
            bash(
              `kill -9 ${pids}; rmdir ${made.join(" ")}; umount ${crowd}/m* ${crowd}/net; rm -rf --one-file-system ${crowd}`,
            ),
          ),
        ),
    },
    ...[20, 100].map((lowers) => ({
      measure: `overlay of ${lowers} layers, mounted and read`,
      against: "an overlay of 2",
      ours: () => overlay(lowers),
      theirs: () => overlay(2),
    })),
  ];
}

// ── Telling

/** The value below which a share of the values lies. */
function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.round((sorted.length - 1) * share)]!;
}

async function report({ measure, against, reach, runs = 15, ...pair }: Row) {
  const [ours, theirs, ratios]: number[][] = [[], [], []];
  // The first run fills caches and does not count.
  for (let index = -1; index < runs; index++) {
    // What is measured keeps node waiting; a signal is heard in between.
    await turn();
    const [one, other] = [await pair.ours(), await pair.theirs()];
    if (index < 0) continue;
    ours!.push(one);
    theirs!.push(other);
    ratios!.push(one / other);
  }
  const median = quantile(ratios!, 0.5);
  const spread = [0.25, 0.75].map((share) => quantile(ratios!, share));
  const verdict = reach === undefined ? "" : median <= reach ? "reached" : "NOT reached";
  console.log(
    `| ${measure} | ${against} | ${median.toFixed(2)} (${spread.map((value) => value.toFixed(2)).join("–")}) | ${reach ?? "–"} | ${verdict} | ${quantile(ours!, 0.5).toFixed(1)} : ${quantile(theirs!, 0.5).toFixed(1)} | ${runs} |`,
  );
}

if (process.getuid?.() !== 0) throw new Error("The bench needs root.");
const versions = ["runc", "bwrap", "docker", "podman", "unshare", "bash"].map((name) =>
  run(bash(`${name} --version 2>&1 | head -n 1; true`)).trim(),
);
console.log(`${cpus()[0]?.model}, ${cpus().length} cores; Linux ${release()}`);
console.log(`Node ${process.version}; ${versions.join("; ")}\n`);
const only = process.argv[2] ?? "";
console.log("| measure | against | ratio (quartiles) | reach | | medians, ms or MiB | runs |");
console.log("|---|---|---|---|---|---|---|");
for (const row of rows())
  if (`${row.measure} ${row.against}`.includes(only))
    await report(row).catch(({ message }: Error) =>
      console.log(`| ${row.measure} | ${row.against} | failed: ${message.slice(0, 200)} |`),
    );
