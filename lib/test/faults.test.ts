/**
 * However a chapter ends, and at whichever step, it leaves nothing behind.
 *
 * The fault matrix: every chapter and its challenges, every line, every way to end it there. Of that
 * BY_HAND_ALL takes one fault of a hundred, and BY_HAND_FAULTS another share: 1/1 is the whole, and 2/3
 * the second third. `npm test` takes one for each way, in a small chapter.
 *
 * A line of the chapter is struck as soon as it is shown, and then the screen must end with it; a
 * line in a shell as soon as that has read it, and nothing more is typed: fixtures/slow-typist.mjs.
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
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify, stripVTControlCharacters } from "node:util";
import { type IPty, spawn as spawnAtTerminal } from "@lydell/node-pty";
import { challengeFile } from "../header.ts";
import { children, mountsBelow, read, stat } from "../kernel.ts";
import { readChallenges } from "../options/challenge.ts";
import { leadsSession } from "./machine.ts";
import {
  agree,
  atTerminal,
  bash,
  cannotRun,
  challenged,
  chapter,
  chapters,
  checkout,
  close,
  environment,
  fixture,
  inShort,
  keys,
  leavesNothing,
  meantToFail,
  mode,
  ownMounts,
  question,
  type Reader,
  run,
  slowness,
  sudo,
  tellable,
  temporary,
  tidy,
  toldToItsEnd,
  tsx,
} from "./testing.ts";

const { BY_HAND_ALL, BY_HAND_FAULTS = BY_HAND_ALL && "1/100" } = process.env;
const [share = 0, shares] = BY_HAND_FAULTS?.split("/").map(Number) ?? [];
const execute = promisify(execFile);

// ── Where a chapter can be ended

/** A line of a chapter. */
interface Step {
  name: string;
  /** Matches what was printed as soon as the line is among it. */
  shown: RegExp;
  /** Where it is typed in a shell: in which, and as which of its lines. */
  typed?: { session: number; line: number };
  /** Whether it may be the last one: nothing more is to be ended then. */
  isLast?: boolean;
}

/** What comes before the first line, and is not shown. */
const probes: Step = { name: "its probes", shown: /(?:)/ };

/** Waits until a chapter that is now started is at those: it has made a directory. */
async function atProbes(tmp: string, isOver: () => boolean) {
  const names = () => (existsSync(tmp) ? readdirSync(tmp) : []);
  const before = names();
  while (!isOver() && names().every((name) => before.includes(name))) await sleep(1);
  return !isOver();
}

/** A question of a chapter, or a place in the shell that is opened at one. */
interface Place {
  name: string;
  /** Goes there, past the questions about what earlier chapters have left, which come first. */
  reach(reader: Reader, leftovers: number): Promise<unknown>;
}

interface Contents {
  path: string;
  flags: string[];
  steps: Step[];
  questions: Place[];
  shells: Place[];
}

/** Leaves what earlier chapters have left. */
async function leaveAll({ sees, types }: Reader, leftovers: number) {
  for (; leftovers > 0; leftovers--) {
    await sees(/Leave it as it is\n/);
    types(keys.enter);
  }
}

/** Goes to a question, and if something is to be typed in its shell, through that. */
const reachQuestion = (questions: number, typed: string[] = []) => {
  return async (reader: Reader, leftovers: number) => {
    const { sees, types } = reader;
    await leaveAll(reader, leftovers);
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
  return async (reader: Reader, leftovers: number) => {
    const { sees, types } = reader;
    await sees(/Take a further challenge\?(\n.*[●○].*)+\n/);
    types(keys.down.repeat(number) + keys.enter);
    await leaveAll(reader, leftovers);
    while (/Stop here/.test(await sees(/Stop here\n|Leave: exit[^]*[#$] $/))) types(keys.enter);
  };
};

/** What there is of a chapter's challenges: its lines are those of their solutions. */
async function challengeContents(path: string): Promise<Contents> {
  const { steps } = await contents(path, "--challenge");
  const places = (await readChallenges(path)).map((_, number) => ({
    name: `the shell of challenge ${number + 1}`,
    reach: reachChallenge(number),
  }));
  const questions = places.map(({ name, reach }) => ({
    name: `the question after ${name}`,
    async reach(reader: Reader, leftovers: number) {
      await reach(reader, leftovers);
      reader.types("exit\r");
      await reader.sees(question);
    },
  }));
  return { path, flags: ["--challenge"], steps, questions, shells: places };
}

/** Reads a chapter's lines and questions from what --print writes. */
async function contents(path: string, ...flags: string[]): Promise<Contents> {
  const { stdout } = toldToItsEnd(await run(tsx(path, "--print", ...flags)));
  const fails = meantToFail(flags.length > 0 ? challengeFile(path) : path);
  const steps: Step[] = [probes];
  const questions: Place[] = [];
  const shells: Place[] = [];

  const times = new Map<string, number>();
  let session = 0;
  // Of a line that goes on below, as a here-document does, its first one is shown as soon as the rest.
  const blocks = stdout
    .replace(/( <<'END')\n[^]*?\nEND$/gm, "$1")
    .matchAll(/^(# ── .*)|^(?!command -v sudo)([^#\n].*?)(?: <<'INSIDE'\n([^]*?)INSIDE)?$/gm);
  for (const [, part, line = "", inside = ""] of blocks) {
    const asked = questions.length;
    if (part || inside || /\bsudo\b/.test(line))
      questions.push({ name: part ?? line, reach: reachQuestion(asked) });
    if (part) continue;

    times.set(line, (times.get(line) ?? 0) + 1);
    const quoted = line.replace(/[^\w ]/g, "\\$&");
    const shown = new RegExp(`(^${quoted}$[^]*){${times.get(line)}}`, "m");
    const isLast = /^cd \.\.; /.test(line) || fails.some((each) => each.test(line));
    steps.push({ name: line, shown, isLast });
    const lines = inside.split("\n").slice(0, -1);
    if (lines.length > 0) session++;
    for (const [index, each] of lines.entries()) {
      const name = `${each}, in ${line}`;
      // Where the shell is meant to end early, it may not come to that.
      const held = /^(@held@|Told to the end)/m;
      steps.push({ ...{ name, shown: held, isLast }, typed: { session, line: index + 1 } });
      const typed = lines.slice(0, index + 1);
      if (each !== "exit") shells.push({ name, reach: reachQuestion(asked, typed) });
      times.set(each, (times.get(each) ?? 0) + 1);
    }
  }
  return { path, flags, steps, questions, shells };
}

/** The command that tells a chapter unasked, and types in its shells as far as to a step. */
function telling({ path, flags }: Contents, { typed }: Step): string[] {
  const [node = "", ...args] = chapter(path, "--yes", ...flags);
  if (!typed) return alone([node, ...args]);
  const typist = new URL("fixtures/slow-typist.mjs", import.meta.url);
  typist.search = `session=${typed.session}&line=${typed.line}`;
  return alone([node, "--import", typist.href, ...args]);
}

/** Whether it was that step at which a chapter was struck: no line is on the screen after it. */
function wasAt(step: Step, { steps }: Contents, printed: string): boolean {
  const shown = printed.split("\n");
  if (step === probes) return true;
  const mark = step.typed ? "@held@" : step.name;
  // What is typed is echoed after it is read. Its name goes on with the shell's.
  const isTyped = (line: string) => steps.some(({ name }) => name.startsWith(`${line}, in `));
  const lines = steps
    .filter(({ name, typed }) => !typed && !(step.typed && isTyped(name)))
    .map(({ name }) => name);
  return shown.filter((line) => line === mark || lines.includes(line)).at(-1) === mark;
}

// ── Ways to end it there

/** How a run ended: its exit status, or the signal. */
type End = number | string | null;

interface Point {
  name: string;
  /**
   * Ends it.
   *
   * @param first what to do just before the end
   * @returns how it ended; and whether that was at the point, where it could have been too late
   */
  end(tmp: string, first?: () => void): Promise<{ ended: End; struck?: boolean }>;
  /** What is right besides the ends of the way. */
  mayEnd?: End[];
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

/** The ends that are right at a step besides those of the way: a probe that is ended refuses. */
const mayEnd = (step: Step): End[] => (step === probes ? [2] : step.isLast ? [0] : []);

/**
 * Ends a chapter at each of its lines, without a terminal.
 *
 * @param goesOn whether the end comes only when more is typed
 */
function unattended(act: (child: ChildProcess) => unknown, goesOn = false): Way["points"] {
  return (contents) =>
    contents.steps.map((step) => ({
      ...{ name: step.name, mayEnd: mayEnd(step) },
      async end(tmp, first) {
        let acted: unknown;
        async function strike(child: ChildProcess) {
          const isOver = () => child.exitCode !== null || child.signalCode !== null;
          if (step === probes && !(await atProbes(tmp, isOver))) return;
          first?.();
          await act(child);
          if (goesOn && step.typed) process.kill(teller(child.pid!), "SIGUSR2");
        }
        const then = (child: ChildProcess) => (acted = strike(child));
        const once = { prints: step === probes ? undefined : step.shown, then };
        const ended = await run(telling(contents, step), { tmp, once });
        assert.doesNotMatch(ended.stderr, /^ +at /m);
        await acted;
        const struck = wasAt(step, contents, ended.stdout);
        return { ended: ended.status ?? ended.signal, struck };
      },
    }));
}

/** Ends a chapter at each of its lines, at a terminal where nothing is asked. */
function attended(act: (terminal: IPty, step: Step) => void): Way["points"] {
  return (contents) =>
    contents.steps.map((step) => ({
      ...{ name: step.name, mayEnd: mayEnd(step) },
      end: (tmp, first) =>
        new Promise((resolve) => {
          const [program = "", ...args] = telling(contents, step);
          const terminal = spawnAtTerminal(program, args, {
            ...{ cols: 500, cwd: checkout, env: environment(tmp, { NO_COLOR: "1" }) },
          });
          leadsSession(terminal.pid);
          let raw = "";
          const printed = () => stripVTControlCharacters(raw).replaceAll("\r\n", "\n");
          let [isDue, isOver] = [true, false];
          function strike() {
            if (isOver || !isDue || !step.shown.test(printed())) return;
            isDue = false;
            first?.();
            act(terminal, step);
          }
          terminal.onData((text) => {
            raw += text;
            if (step !== probes) strike();
          });
          if (step === probes) void atProbes(tmp, () => isOver).then(strike);
          terminal.onExit(({ exitCode, signal }) => {
            isOver = true;
            tidy(tmp);
            const struck = wasAt(step, contents, printed());
            resolve({ ended: signal ? 128 + signal : exitCode, struck });
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
          await reach(reader, leftovers);
          first?.();
          act(reader, startedWith(tmp));
        });
        return { ended: status ?? null };
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
  return children(pid).find((child) => {
    const found = stat(child);
    return found?.name === name && found.state !== "Z";
  });
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
    await sleep(1);
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
      const command = [...bash, "-c", script, "-", name, tmp];
      const { status, stdout, stderr } = await run(
        [...disk, ...command, ...chapter(path, "--yes", ...flags)],
        { tmp, env: { TSX_DISABLE_CACHE: "1" } },
      );
      assert.doesNotMatch(stdout, /^left: /m);
      assert.doesNotMatch(stderr, /^ +at /m);
      return { ended: status };
    },
  }));

const ways: Way[] = [
  {
    name: "gets SIGINT",
    ends: [130],
    points: unattended((child) => void child.kill("SIGINT")),
  },
  {
    name: "gets SIGQUIT",
    ends: [131],
    points: unattended((child) => void child.kill("SIGQUIT")),
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
    points: unattended((child) => void child.stdout?.destroy(), true),
  },
  {
    name: "has its line killed",
    ends: [1],
    // The end of a probe is an answer, and a chapter may do without what it asked for.
    points: (contents) =>
      unattended(killLine, true)(contents).filter(({ name }) => name !== probes.name),
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
    name: "is stopped by Ctrl-\\",
    ends: [131],
    points: attended((terminal) => terminal.write(keys.ctrlBackslash)),
  },
  {
    name: "is stopped by Ctrl-C again and again",
    ends: mode === "sudo" ? [130, 129] : [130],
    points: attended((terminal, { typed }) => {
      const press = () => terminal.write(keys.ctrlC);
      // At once in a shell: 'exit' would not wait.
      if (typed) press();
      const first = setTimeout(press, 7);
      const again = setInterval(press, 7 * slowness);
      // sudo 1.9.13 waits forever, if Ctrl-C ends its monitor as that starts.
      // Whoever sits there closes the terminal.
      const patience = setTimeout(() => {
        clearInterval(again);
        close(terminal);
      }, 60_000 * slowness);
      terminal.onExit(() => [first, again, patience].forEach(clearTimeout));
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

/** The steps that were struck, each below its chapter. */
const struck = new Set<string>();

/**
 * Ends a chapter at each of these points.
 *
 * After a SIGKILL the next start clears up: that is the one of the next point, and after the last
 * point it is one more.
 *
 * @param first what to do just before each end
 * @returns what is wrong after that
 */
async function endEach(
  way: Way,
  { path, flags }: Contents,
  points: Point[],
  first?: (tmp: string) => void,
): Promise<string[]> {
  const wrong: string[] = [];
  const tmp = temporary();
  let earlier: string[] = [];
  for (const { name, end, mayEnd = [] } of points) {
    let result: Awaited<ReturnType<Point["end"]>>;
    // If another line was struck, or none, that came too late.
    for (let tries = 0; ; tries++) {
      mkdirSync(tmp, { recursive: true });
      result = await end(tmp, first && (() => first(tmp)));
      if (result.struck !== false || mayEnd.includes(result.ended) || tries === 20) break;
    }
    const { ended } = result;
    if (result.struck) struck.add([path, ...flags, name].join("\n"));
    if (result.struck === false && !mayEnd.includes(ended))
      wrong.push(`${name}: was never struck, but something after it`);
    if (![...way.ends, ...mayEnd].includes(ended)) wrong.push(`${name}: it ended with ${ended}`);
    const left = await staysIn(
      tmp,
      (each) => !way.killed || earlier.includes(each) || goesBySandbox(each),
    );
    wrong.push(...left.map((each) => `${name}: left ${each}`));
    if (way.killed) earlier = await leftIn(tmp);
  }
  if (way.killed) {
    mkdirSync(tmp, { recursive: true });
    const next = await run(chapter(fixture("walk"), "--yes"), { tmp });
    if (next.status !== 0) wrong.push(`The next start failed: ${inShort(next)}`);
    const left = await staysIn(tmp, () => true);
    wrong.push(...left.map((each) => `The next start left ${each}`));
  }
  return wrong;
}

/** Those to be ended: without a share, a small chapter that is there for the tests. */
const ended = cannotRun
  ? []
  : await Promise.all(
      shares
        ? [
            ...(await tellable(chapters)).map((path) => contents(path)),
            ...(await tellable(challenged, "--challenge")).map((path) => challengeContents(path)),
          ]
        : [contents(fixture("walk"))],
    );

/** What is to be tried: some points of a chapter, for a way to end it. */
function sample(): { way: Way; contents: Contents; points: Point[] }[] {
  if (!shares)
    return ways.map((way, row) => {
      const contents = ended[0]!;
      // Without the probes: this chapter has none whose end would be its own.
      const points = way.points(contents).slice(1);
      return { way, contents, points: [points[(row * 5 + 3) % points.length]!] };
    });
  let place = share - 1;
  return ways
    .flatMap((way) =>
      ended.map((contents) => {
        const points = way.points(contents).filter(() => place++ % shares === 0);
        return { way, contents, points };
      }),
    )
    .filter(({ points }) => points.length > 0);
}

test(
  "a chapter leaves nothing when at one of its steps it",
  { skip: cannotRun, concurrency: 4 },
  async (t) => {
    let [faults, leftOvers] = [0, 0];
    await leavesNothing(async () => {
      const groups = sample().map(({ way, contents, points }) => {
        faults += points.length;
        const where = [basename(contents.path), ...contents.flags].join(" ");
        const name = points.length === 1 ? `at ${points[0]!.name}` : `${points.length} times`;
        return t.test(`${way.name}: ${where}, ${name}`, async () => {
          const wrong = await endEach(way, contents, points);
          leftOvers += wrong.filter((each) => / left /.test(each)).length;
          assert.deepEqual(wrong, []);
        });
      });
      await Promise.all(groups);
    });
    console.log(`${faults} faults, ${leftOvers} left-overs`);
    if (shares === 1)
      for (const { path, flags, steps } of ended)
        for (const { name, isLast } of steps)
          assert.ok(
            isLast || struck.has([path, ...flags, name].join("\n")),
            `${path} ${flags}: nothing struck ${name}`,
          );
  },
);

// ── Mounts from elsewhere

test(
  "a directory mounted in its own keeps its files when a chapter",
  { skip: cannotRun || (!BY_HAND_ALL && "takes BY_HAND_ALL"), concurrency: 4 },
  async (t) => {
    const told: Way = {
      ...{ name: "is told to the end", ends: [0] },
      points: (contents) =>
        unattended(() => {})(contents).map(({ name, end }) => ({
          ...{ name, end: async (tmp, first) => ({ ended: (await end(tmp, first)).ended }) },
        })),
    };
    const walk = await contents(fixture("walk"));
    await leavesNothing(async () => {
      const ends = [told, ...ways].map((way) => {
        const points = way.points(walk);
        const point =
          points.find(({ name }) => /^sudo unshare/.test(name)) ??
          points.find(({ name }) => /in-here/.test(name));
        if (!point) return;
        return t.test(way.name, async () => {
          const markers = temporary("markers");
          const names = Array.from({ length: 50 }, (_, each) => `marker${each}`);
          for (const name of names) writeFileSync(join(markers, name), name);
          try {
            const bind = (tmp: string) => mountInside(tmp, markers);
            assert.deepEqual(await endEach(way, walk, [point], bind), []);
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
