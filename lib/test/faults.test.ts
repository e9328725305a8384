/**
 * However a chapter ends, and at whichever step, it leaves nothing behind.
 *
 * First the fault matrix: every chapter and its challenges, every line, every
 * way to end it there. It is a sample of that, unless BY_HAND_FAULTS asks for a
 * share: 1/1 is the whole, and 2/3 the second third.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setImmediate as soon, setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type IPty, spawn as spawnAtTerminal } from "@lydell/node-pty";
import { children, mountsBelow, startTime } from "../kernel.ts";
import {
  agree,
  atTerminal,
  cannotRun,
  chapter,
  checkout,
  file,
  keys,
  leavesNothing,
  mode,
  notRoot,
  ownMounts,
  question,
  type Reader,
  run,
  temporary,
  tidy,
  tsx,
} from "./testing.ts";

const [share = 0, shares] = process.env.BY_HAND_FAULTS?.split("/").map(Number) ?? [];
const sudo = mode === "sudo" ? ["sudo", "-n"] : [];
const execute = promisify(execFile);

// ── Where a chapter can be ended

/** A line of a chapter. */
interface Step {
  name: string;
  /** Matches what was printed as soon as the line is among it. */
  shown: RegExp;
  /** How much later the line is at work; milliseconds. */
  later: number;
}

/** A question of a chapter, or a place in the shell that is opened at one. */
interface Place {
  name: string;
  /** Goes there, from the chapter's first question. */
  reach(reader: Reader): Promise<unknown>;
}

interface Contents {
  path: string;
  flags: string[];
  steps: Step[];
  questions: Place[];
  shells: Place[];
}

/** Goes to a question, and if something is to be typed in its shell, through that. */
const reachQuestion = (questions: number, typed: string[] = []) => {
  return async (reader: Reader) => {
    const { sees, types } = reader;
    await agree(reader, questions);
    await sees(question);
    if (typed.length > 0) {
      types(keys.down + keys.enter);
      await sees(/[#$] $/);
    }
    for (const line of typed) {
      types(`${line}\r`);
      await sees(/[#$] $/);
    }
  };
};

/** Picks a challenge, and goes on to its shell. */
const reachChallenge = (number: number) => {
  return async ({ sees, types }: Reader) => {
    await sees(/Take a further challenge\?(\n.*[●○].*)+\n/);
    types(keys.down.repeat(number) + keys.enter);
    while (/Stop here/.test(await sees(/Stop here\n|Leave: exit[^]*[#$] $/))) types(keys.enter);
  };
};

/** What there is of a chapter's challenges: its lines are those of their solutions. */
async function challengeContents(path: string): Promise<Contents> {
  const { steps } = await contents(path, "--challenge");
  const places = [0, 1].map((number) => ({
    name: `the shell of challenge ${number + 1}`,
    reach: reachChallenge(number),
  }));
  const questions = places.map(({ name, reach }) => ({
    name: `the question after ${name}`,
    async reach(reader: Reader) {
      await reach(reader);
      reader.types("exit\r");
      await reader.sees(question);
    },
  }));
  return { path, flags: ["--challenge"], steps, questions, shells: places };
}

/** Reads a chapter's lines and questions from what --print writes. */
async function contents(path: string, ...flags: string[]): Promise<Contents> {
  const { stdout } = await run(tsx(file(path), "--print", ...flags));
  // The title comes before the probes.
  const steps: Step[] = [{ name: "its title", shown: /^\d\d/m, later: 0 }];
  const questions: Place[] = [];
  const shells: Place[] = [];

  const times = new Map<string, number>();
  const step = (line: string): Step => {
    times.set(line, (times.get(line) ?? 0) + 1);
    const quoted = line.replace(/[^\w ]/g, "\\$&");
    const shown = new RegExp(`(^${quoted}$[^]*){${times.get(line)}}`, "m");
    return { name: line, shown, later: 0 };
  };
  const blocks = stdout.matchAll(
    /^(# ── .*)|^(?!command -v sudo)([^#\n].*?)(?: <<'INSIDE'\n([^]*?)INSIDE)?$/gm,
  );
  for (const [, part, line = "", inside = ""] of blocks) {
    const asked = questions.length;
    if (part || inside || /\bsudo\b/.test(line))
      questions.push({ name: part ?? line, reach: reachQuestion(asked) });
    if (part) continue;

    const opening = step(line);
    steps.push(opening);
    const typed: string[] = [];
    for (const each of inside.split("\n").slice(0, -1)) {
      // It is shown when its shell has ended, so go by time.
      step(each);
      typed.push(each);
      const name = `${each}, in ${line}`;
      steps.push({ ...opening, name, later: 4 * typed.length });
      if (each !== "exit") shells.push({ name, reach: reachQuestion(asked, [...typed]) });
    }
  }
  return { path, flags, steps, questions, shells };
}

// ── Ways to end it there

/** How a run ended: its exit status, or the signal. */
type End = number | string | null;

interface Point {
  name: string;
  /** @param first what to do just before the end */
  end(tmp: string, first?: () => void): Promise<End>;
}

interface Way {
  name: string;
  ends: End[];
  /** Whether only the next start can clear up. */
  killed?: boolean;
  points(chapter: Contents): Point[];
}

/**
 * A command that has no file of ours open. node-pty's terminals get into every
 * other child, and a terminal is gone only when nobody has it any more.
 */
function alone(command: string[]): string[] {
  const script = `for fd in /proc/$$/fd/*; do
    fd=\${fd##*/}; if [ $fd -gt 2 ]; then exec {fd}>&-; fi
  done; exec "$@"`;
  return ["bash", "-c", script, "-", ...command];
}

/** Ends a chapter at each of its lines, without a terminal. */
function unattended(act: (child: ChildProcess) => unknown): Way["points"] {
  return ({ path, flags, steps }) =>
    steps.map(({ name, shown, later }) => ({
      name,
      async end(tmp, first) {
        let acted: unknown;
        const due = (child: ChildProcess) => {
          first?.();
          acted = act(child);
        };
        const then = (child: ChildProcess) =>
          void (later ? setTimeout(due, later, child) : due(child));
        const command = alone(chapter(path, "--yes", ...flags));
        const ended = await run(command, {
          ...{ tmp, once: { prints: shown, then } },
        });
        assert.doesNotMatch(ended.stderr, /^ +at /m);
        await acted;
        return ended.status ?? ended.signal;
      },
    }));
}

/** Ends a chapter at each of its lines, at a terminal where nothing is asked. */
function attended(act: (terminal: IPty) => void): Way["points"] {
  return ({ path, flags, steps }) =>
    steps.map(({ name, shown, later }) => ({
      name,
      end: (tmp, first) =>
        new Promise((resolve) => {
          const [program = "", ...args] = alone(chapter(path, "--yes", ...flags));
          const terminal = spawnAtTerminal(program, args, {
            cwd: checkout,
            env: { ...process.env, TMPDIR: tmp, NO_COLOR: "1" },
          });
          let printed = "";
          const watching = terminal.onData((text) => {
            printed += text;
            if (!shown.test(printed.replaceAll("\r\n", "\n"))) return;
            watching.dispose();
            first?.();
            if (later) setTimeout(act, later, terminal);
            else act(terminal);
          });
          terminal.onExit(({ exitCode, signal }) => {
            tidy(tmp);
            resolve(signal ? 128 + signal : exitCode);
          });
        }),
    }));
}

/** Ends a chapter at each of some places, where someone has answered by then. */
function asked(
  places: "questions" | "shells",
  act: (reader: Reader, pid: number) => void,
): Way["points"] {
  return (contents) =>
    contents[places].map(({ name, reach }) => ({
      name,
      async end(tmp, first) {
        const command = alone(chapter(contents.path, ...contents.flags));
        const leftovers = readdirSync(tmp).length;
        const { status } = await atTerminal(command, { tmp }, async (reader) => {
          const { sees, types } = reader;
          for (let left = leftovers; left > 0; left--) {
            await sees(/Leave it as it is\n/);
            types(keys.enter);
          }
          await reach(reader);
          first?.();
          act(reader, startedWith(tmp));
        });
        return status ?? null;
      },
    }));
}

/** The child of ours whose TMPDIR this is. */
function startedWith(tmp: string): number {
  const child = children(process.pid).find((pid) =>
    read(`/proc/${pid}/environ`).includes(`TMPDIR=${tmp}\0`),
  );
  assert.ok(child);
  return child;
}

/** The content of a file of a process; empty if the process is gone. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The process that tells a chapter: in rootless mode, one in its sandbox. */
function teller(pid: number): number {
  const sandbox = childNamed("unshare", pid);
  const inside = sandbox ? children(sandbox).flatMap(children) : [];
  const node = realpathSync(process.execPath);
  return (
    inside.find(
      (each) => existsSync(`/proc/${each}/exe`) && realpathSync(`/proc/${each}/exe`) === node,
    ) ?? pid
  );
}

/** A child that still runs, by the name of its program. */
function childNamed(name: string, pid: number): number | undefined {
  const running = new RegExp(`^\\d+ \\(${name}\\) [^Z]`);
  return children(pid).find((child) => running.test(read(`/proc/${child}/stat`)));
}

/** Kills the bash that runs a chapter's line, as soon as there is one. */
async function killLine(child: ChildProcess) {
  const pid = teller(child.pid!);
  while (child.exitCode === null) {
    const bash = childNamed("bash", pid);
    try {
      // Whose state is in a file: whether sudo asks, another bash finds out.
      if (bash && readlinkSync(`/proc/${bash}/fd/3`).endsWith("/state"))
        return process.kill(bash, "SIGKILL");
    } catch {
      // It has just ended by itself, so wait for the next.
    }
    await soon();
  }
}

/** A disk that is full when it holds so many files, or so many bytes. */
const fullDisk: Way["points"] = ({ path, flags }) =>
  [
    ...Array.from({ length: 25 }, (_, index) => `nr_inodes=${index + 1}`),
    ...Array.from({ length: 11 }, (_, index) => `size=${4 << index}k`),
  ].map((name) => ({
    name,
    async end(tmp) {
      // The path as an argument: TMPDIR does not get through sudo.
      const script = `mount -t tmpfs -o "$1" none "$2" || exit 99
        export TMPDIR=$2; shift 2
        \${SUDO_UID:+setpriv --reuid=$SUDO_UID --regid=$SUDO_GID --init-groups} "$@"
        status=$?
        ls -A "$TMPDIR" | sed 's/^/left: /'
        grep -o " $TMPDIR/[^ ]*" /proc/self/mountinfo | sed 's/^/left:/'
        exit $status`;
      const disk =
        mode === "sudo" ? ["sudo", "-n", "--preserve-env", "unshare", "--mount"] : ownMounts;
      const command = ["bash", "-c", script, "-", name, tmp];
      const { status, stdout, stderr } = await run(
        [...disk, ...command, ...chapter(path, "--yes", ...flags)],
        { tmp, env: { TSX_DISABLE_CACHE: "1" } },
      );
      assert.doesNotMatch(stdout, /^left: /m);
      assert.doesNotMatch(stderr, /^ +at /m);
      return status;
    },
  }));

const close = (terminal: IPty) => (terminal as unknown as { destroy(): void }).destroy();

const ways: Way[] = [
  {
    name: "gets SIGINT",
    ends: [130],
    points: unattended((child) => void child.kill("SIGINT")),
  },
  {
    name: "gets SIGTERM",
    ends: [143],
    points: unattended((child) => void child.kill("SIGTERM")),
  },
  {
    name: "gets SIGHUP",
    ends: [129],
    points: unattended((child) => void child.kill("SIGHUP")),
  },
  {
    name: "gets SIGKILL",
    ends: ["SIGKILL"],
    killed: true,
    points: unattended((child) => void child.kill("SIGKILL")),
  },
  {
    name: "has its output closed",
    ends: [1],
    points: unattended((child) => void child.stdout?.destroy()),
  },
  {
    name: "has its line killed",
    ends: [1],
    points: unattended(killLine),
  },
  {
    name: "has no more room on its disk",
    // Some chapters take less than others.
    ends: [0, 1, 2],
    points: fullDisk,
  },
  {
    name: "is stopped by Ctrl-C",
    ends: [130],
    points: attended((terminal) => terminal.write(keys.ctrlC)),
  },
  {
    name: "is stopped by Ctrl-C again and again",
    ends: mode === "sudo" ? [130, 129] : [130],
    points: attended((terminal) => {
      const again = setInterval(() => terminal.write(keys.ctrlC), 7);
      // sudo 1.9.13 waits forever, if Ctrl-C ends its monitor as that starts.
      // Whoever sits there closes the terminal.
      const patience = setTimeout(() => {
        clearInterval(again);
        close(terminal);
      }, 60_000);
      terminal.onExit(() => {
        clearInterval(again);
        clearTimeout(patience);
      });
    }),
  },
  {
    name: "has its terminal closed",
    ends: [129],
    points: attended(close),
  },
  {
    name: "is told to stop at a question",
    ends: [130],
    points: asked("questions", ({ types }) => types(keys.up + keys.enter)),
  },
  {
    name: "is stopped by Ctrl-C at a question",
    ends: [130],
    points: asked("questions", ({ types }) => types(keys.ctrlC)),
  },
  {
    name: "has its terminal closed at a question",
    ends: [129],
    points: asked("questions", ({ leaves }) => leaves()),
  },
  {
    name: "has its terminal closed in a shell",
    ends: [129],
    points: asked("shells", ({ leaves }) => leaves()),
  },
  {
    name: "gets SIGTERM while the reader is in a shell",
    ends: [143],
    points: asked("shells", (_, pid) => process.kill(pid, "SIGTERM")),
  },
  {
    name: "gets SIGKILL while the reader is in a shell",
    ends: [128 + 9],
    killed: true,
    points: asked("shells", (_, pid) => process.kill(pid, "SIGKILL")),
  },
];

/** The ends that are right at a point besides those of the way. */
function mayEnd(name: string): End[] {
  // There the probes are at work.
  if (name === "its title") return [2];
  // Two shells are meant to fail, and after the last line there is no more to end.
  const ends = /(^|, in )sudo (chroot rootfs|unshare --pid) bash$|^cd \.\.; /;
  return ends.test(name) ? [0] : [];
}

// ── What is left

/** What there is of chapters whose TMPDIR this is: files, mounts, processes. */
async function leftIn(tmp: string): Promise<string[]> {
  const script = `${sudo.join(" ")} find /proc/[0-9]*/root /proc/[0-9]*/cwd -maxdepth 0 -lname "$1/*" 2>/dev/null; true`;
  const { stdout } = await execute("bash", ["-c", script, "-", tmp]);
  return [
    ...(existsSync(tmp) ? readdirSync(tmp) : []),
    ...mountsBelow(tmp).map((point) => `mount ${point}`),
    ...[...new Set(stdout.match(/\d+/g))].map((pid) => `process ${pid}`),
  ];
}

/** What of it is still there when all that was killed has had the time to go. */
async function staysIn(tmp: string, counts: (left: string) => boolean) {
  for (let waited = 0; ; waited += 100) {
    const left = (await leftIn(tmp)).filter(counts);
    if (left.length === 0 || waited === 2000) return left;
    await sleep(100);
  }
}

/** Whether the kernel takes it away without us. */
const goesBySandbox = (left: string) => mode === "rootless" && /^(mount|process) /.test(left);

/**
 * Ends a chapter at each of these points.
 *
 * After a SIGKILL the next start clears up: that is the one of the next point,
 * and after the last point it is one more.
 *
 * @param first what to do just before each end
 * @returns what is wrong after that
 */
async function endEach(
  way: Way,
  points: Point[],
  first?: (tmp: string) => void,
): Promise<string[]> {
  const wrong: string[] = [];
  const tmp = temporary();
  let earlier: string[] = [];
  for (const { name, end } of points) {
    const ends = [...way.ends, ...mayEnd(name)];
    let ended: End = 0;
    // If it was told to its end, that came too late.
    for (let tries = 0; ended === 0 && tries < 10; tries++) {
      mkdirSync(tmp, { recursive: true });
      ended = await end(tmp, first && (() => first(tmp)));
      if (ends.includes(ended)) break;
    }
    if (!ends.includes(ended)) wrong.push(`${name}: it ended with ${ended}`);
    const left = await staysIn(
      tmp,
      (each) => !way.killed || earlier.includes(each) || goesBySandbox(each),
    );
    wrong.push(...left.map((each) => `${name}: left ${each}`));
    if (way.killed) earlier = await leftIn(tmp);
  }
  if (way.killed) {
    mkdirSync(tmp, { recursive: true });
    const { status, stderr } = await run(chapter("chapters/02-unshare.ts", "--yes"), { tmp });
    if (status !== 0) wrong.push(`The next start failed: ${stderr}`);
    const left = await staysIn(tmp, () => true);
    wrong.push(...left.map((each) => `The next start left ${each}`));
  }
  return wrong;
}

const paths = readdirSync(file("chapters"))
  .filter((name) => /^\d\d-[\w-]+\.ts$/.test(name))
  .map((name) => `chapters/${name}`);
const all = cannotRun
  ? []
  : await Promise.all(paths.flatMap((path) => [contents(path), challengeContents(path)]));

test(
  "a chapter leaves nothing when at one of its steps it",
  { skip: cannotRun, concurrency: 4 },
  async (t) => {
    let [faults, leftOvers] = [0, 0];
    await leavesNothing(async () => {
      const groups = ways.flatMap((way, row) =>
        all.map((chapter, column) => {
          const points = way.points(chapter);
          const one = points[(row * 7 + column * 3) % points.length]!;
          const some = shares ? points.filter((_, index) => index % shares === share - 1) : [one];
          faults += some.length;
          const where = [basename(chapter.path), ...chapter.flags].join(" ");
          const name = `${way.name}: ${some.length} in ${where}`;
          return t.test(name, async () => {
            const wrong = await endEach(way, some);
            leftOvers += wrong.filter((each) => / left /.test(each)).length;
            assert.deepEqual(wrong, []);
          });
        }),
      );
      await Promise.all(groups);
    });
    console.log(`${faults} faults, ${leftOvers} left-overs`);
  },
);

// ── Mounts from elsewhere

test(
  "a directory mounted in its own keeps its files when a chapter",
  { skip: cannotRun, concurrency: 4 },
  async (t) => {
    const nsenter = all.find(({ path }) => /nsenter/.test(path))!;
    const told: Way = {
      ...{ name: "is told to the end", ends: [0] },
      points: unattended(() => {}),
    };
    await leavesNothing(async () => {
      const ends = [told, ...ways].map((way) => {
        const point = way
          .points(nsenter)
          .find(({ name }) => /\bhostname( a-container$|, in)/.test(name));
        if (!point) return;
        return t.test(way.name, async () => {
          const markers = temporary("markers");
          const names = Array.from({ length: 50 }, (_, each) => `marker${each}`);
          for (const name of names) writeFileSync(join(markers, name), name);
          try {
            const bind = (tmp: string) => mountInside(tmp, markers);
            assert.deepEqual(await endEach(way, [point], bind), []);
            for (const name of names) assert.equal(readFileSync(join(markers, name), "utf8"), name);
          } finally {
            rmSync(dirname(markers), { recursive: true });
          }
        });
      });
      await Promise.all(ends);
    });
  },
);

/** Mounts a directory in the work directory of the chapter that runs in `tmp`. */
function mountInside(tmp: string, directory: string) {
  const work = readdirSync(tmp, { recursive: true, encoding: "utf8" }).find((path) =>
    /\/by-hand\.\w+$/.test(path),
  );
  const point = join(tmp, work!, "elsewhere");
  mkdirSync(point);
  // Rootless, the mounts are those of the sandbox.
  const pid = teller(startedWith(tmp));
  const nsenter = `nsenter --preserve-credentials --user --mount --target=${pid}`;
  const asRoot = mode === "rootless" ? nsenter.split(" ") : sudo;
  const command = [...asRoot, "mount", "--bind", directory, point];
  execFileSync(command[0]!, command.slice(1));
}

// ── Recovery

describe("the next start", { skip: cannotRun }, () => {
  const pidNamespace = readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
  /** A directory's name as a chapter with this pid gives it. */
  const nameOf = (pid: number, started: string, namespace = pidNamespace) =>
    `by-hand.${namespace}.${pid}.${started}.abcdef`;
  /** The name of one whose chapter is gone: there is no such pid. */
  const gone = nameOf(2 ** 30, "1");

  const killed = /A chapter that was killed has left this behind:/;
  const leave = /Leave it as it is\n/;

  /** Kills a chapter at one of its lines. */
  const kill = (path: string, prints: RegExp, tmp: string) =>
    run(chapter(path, "--yes"), {
      ...{ tmp, once: { prints, then: (child) => child.kill("SIGKILL") } },
    });

  /** Runs a chapter to its end. */
  async function start(tmp: string) {
    const { status, stdout, stderr } = await run(chapter("chapters/02-unshare.ts", "--yes"), {
      tmp,
    });
    assert.equal(stderr, "");
    assert.equal(status, 0);
    return stdout;
  }

  test("says which directories, mounts and processes are left, and clears them", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      await kill("chapters/03-nsenter.ts", /^sudo nsenter /m, tmp);
      const [first = ""] = readdirSync(tmp);
      const stdout = await start(tmp);
      assert.ok(stdout.includes(`\n  directory  ${join(tmp, first)}\n`));
      if (mode !== "rootless") assert.match(stdout, /^  process    \d+ .*\bsleep 1d$/m);

      mkdirSync(tmp, { recursive: true });
      await kill("chapters/04-overlay.ts", /^ls -lisa fs\/merged/m, tmp);
      const [second = ""] = readdirSync(tmp);
      const next = await start(tmp);
      assert.ok(next.includes(`\n  directory  ${join(tmp, second)}\n`));
      if (mode !== "rootless")
        assert.match(next, new RegExp(`^  mount      ${tmp}/${second}/\\S+$`, "m"));

      for (const [, list = ""] of [stdout, next].map((text) =>
        /left this behind:\n\n([^]*?)\n\n/.exec(text)!,
      ))
        for (const line of list.split("\n"))
          assert.match(line, /^  (directory|mount     |process   )  ?\S/);
      assert.equal((stdout + next).match(/^It is cleared\.$/gm)?.length, 2);
    }));

  test("asks at a terminal, and leaves it if that is the answer", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      mkdirSync(join(tmp, gone));
      const walk = (reader: (reader: Reader) => Promise<void>) =>
        atTerminal(chapter("chapters/02-unshare.ts"), { tmp }, reader);

      const left = await walk(async ({ sees, types }) => {
        await sees(killed);
        await sees(leave);
        types(keys.down + keys.enter);
        await sees(question);
        types(keys.up + keys.enter);
      });
      assert.equal(left.status, 130);
      assert.deepEqual(readdirSync(tmp), [gone]);

      const stopped = await walk(async ({ sees, types }) => {
        await sees(leave);
        types(keys.ctrlC);
      });
      assert.equal(stopped.status, 130);
      assert.deepEqual(readdirSync(tmp), [gone]);

      const cleared = await walk(async ({ sees, types }) => {
        await sees(leave);
        types(keys.enter);
        await sees(/^It is cleared\.$/m);
        await sees(question);
        types(keys.up + keys.enter);
      });
      assert.equal(cleared.status, 130);
    }));

  test("clears nothing that is not a directory which a chapter of this user has left", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const elsewhere = temporary("elsewhere");
      writeFileSync(join(elsewhere, "marker"), "");
      const names = {
        "a link": nameOf(2 ** 30, "2"),
        "a file": nameOf(2 ** 30, "3"),
        "of a chapter that runs": nameOf(process.pid, startTime(process.pid)!),
        "of another pid namespace": nameOf(2 ** 30, "1", "4026531000"),
        "mktemp's, from a printed script": "by-hand.abcdef",
        "not quite such a name": `${gone}g`,
      };
      for (const name of Object.values(names))
        if (name === names["a link"]) symlinkSync(elsewhere, join(tmp, name));
        else if (name === names["a file"]) writeFileSync(join(tmp, name), "");
        else mkdirSync(join(tmp, name));
      assert.doesNotMatch(await start(tmp), killed);
      assert.deepEqual(readdirSync(tmp).sort(), Object.values(names).sort());
      assert.deepEqual(readdirSync(elsewhere), ["marker"]);
      rmSync(dirname(tmp), { recursive: true });
      rmSync(dirname(elsewhere), { recursive: true });
    }));

  test("does not touch another user's directory", { skip: notRoot }, () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const theirs = join(tmp, gone);
      mkdirSync(theirs);
      const command = [...sudo, "chown", "65534", theirs];
      execFileSync(command[0]!, command.slice(1));
      assert.doesNotMatch(await start(tmp), killed);
      assert.deepEqual(readdirSync(tmp), [gone]);
      rmSync(dirname(tmp), { recursive: true });
    }),
  );

  test("does not follow links out of what was left", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const elsewhere = temporary("elsewhere");
      mkdirSync(join(elsewhere, "closed"), { mode: 0o500 });
      writeFileSync(join(elsewhere, "marker"), "");
      mkdirSync(join(tmp, gone));
      symlinkSync(elsewhere, join(tmp, gone, "link"));
      symlinkSync("/", join(tmp, gone, "a\n\x1b[2Jb"));
      assert.match(await start(tmp), /^It is cleared\.$/m);
      assert.deepEqual(readdirSync(elsewhere).sort(), ["closed", "marker"]);
      assert.equal(statSync(join(elsewhere, "closed")).mode & 0o777, 0o500);
      rmSync(dirname(elsewhere), { recursive: true });
    }));

  test("leaves a chapter alone that waits for its reader", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const { status } = await atTerminal(
        chapter("chapters/03-nsenter.ts"),
        { tmp },
        async (reader) => {
          await agree(reader, 3);
          await reader.sees(question);
          mkdirSync(tmp, { recursive: true });
          assert.doesNotMatch(await start(tmp), killed);
          reader.types(keys.enter);
          await agree(reader);
        },
      );
      assert.equal(status, 0);
    }));
});

test("twenty chapters at once do not disturb each other", { skip: cannotRun }, () =>
  leavesNothing(async () => {
    const tmp = temporary();
    const [first = ""] = paths;
    await run(chapter(first, "--yes"), {
      tmp,
      once: { prints: /^ls /m, then: (child) => child.kill("SIGKILL") },
    });
    // The first to end must not tidy up under the others.
    const marker = join(tmp, "marker");
    writeFileSync(marker, "");
    const runs = Array.from({ length: 20 }, (_, index) =>
      run(chapter(paths[index % paths.length]!, "--yes"), {
        ...{ tmp, env: { TSX_DISABLE_CACHE: "1" } },
      }),
    );
    for (const { status, stderr } of await Promise.all(runs)) {
      assert.equal(stderr, "");
      assert.equal(status, 0);
    }
    rmSync(marker);
    tidy(tmp);
  }),
);
