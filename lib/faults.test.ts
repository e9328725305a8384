/**
 * However a chapter ends, and at whichever step, it leaves nothing behind.
 *
 * First the fault matrix: every chapter, every line of it, every way to end it
 * there. It is a sample of that, unless BY_HAND_FAULTS=all asks for the whole.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import {
  setImmediate as soon,
  setTimeout as sleep,
} from "node:timers/promises";
import { promisify } from "node:util";
import { type IPty, spawn as spawnAtTerminal } from "@lydell/node-pty";
import { children, mountsBelow, startTime } from "./kernel.ts";
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

const whole = process.env.BY_HAND_FAULTS === "all";
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
  /** How many questions come before it. */
  questions: number;
  /** What the reader has typed in the shell by then. */
  typed: string[];
}

interface Contents {
  path: string;
  steps: Step[];
  questions: Place[];
  shells: Place[];
}

/** Reads a chapter's lines and questions from what --print writes. */
async function contents(path: string): Promise<Contents> {
  const { stdout } = await run(tsx(file(path), "--print"));
  // The title comes before the probes.
  const steps: Step[] = [{ name: "its title", shown: /^\d\d/m, later: 0 }];
  const questions: Place[] = [];
  const shells: Place[] = [];

  const step = (name: string): Step => {
    const times = steps.filter((earlier) => earlier.name === name).length + 1;
    const quoted = name.replace(/[^\w ]/g, "\\$&");
    const shown = new RegExp(`(^${quoted}$[^]*){${times}}`, "m");
    return { name, shown, later: 0 };
  };
  const blocks = stdout.matchAll(
    /^(# ── .*)|^(?!command -v sudo)([^#\n].*?)(?: <<'INSIDE'\n([^]*?)INSIDE)?$/gm,
  );
  for (const [, part, line = "", inside = ""] of blocks) {
    const asked = questions.length;
    if (part || inside || /\bsudo\b/.test(line))
      questions.push({ name: part ?? line, questions: asked, typed: [] });
    if (part) continue;

    const opening = step(line);
    steps.push(opening);
    const typed: string[] = [];
    for (const name of inside.split("\n").slice(0, -1)) {
      // It is shown when its shell has ended, so go by time.
      typed.push(name);
      steps.push({ ...opening, name, later: 4 * typed.length });
      if (name !== "exit")
        shells.push({ name, questions: asked, typed: [...typed] });
    }
  }
  return { path, steps, questions, shells };
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

/**
 * Ends a chapter at each of its lines, without a terminal.
 *
 * @param act does it, and answers false if it came too late
 */
function unattended(act: (child: ChildProcess) => unknown): Way["points"] {
  return ({ path, steps }) =>
    steps.map(({ name, shown, later }) => ({
      name,
      async end(tmp, first) {
        for (let tries = 0; tries < 10; tries++) {
          let acted: unknown;
          const due = (child: ChildProcess) => {
            first?.();
            acted = act(child);
          };
          const then = (child: ChildProcess) =>
            void (later ? setTimeout(due, later, child) : due(child));
          const ended = await run(alone(chapter(path, "--yes")), {
            ...{ tmp, once: { prints: shown, then } },
          });
          assert.doesNotMatch(ended.stderr, /^ +at /m);
          if ((await acted) !== false) return ended.status ?? ended.signal;
          mkdirSync(tmp, { recursive: true });
        }
        return "never";
      },
    }));
}

/** Ends a chapter at each of its lines, at a terminal where nothing is asked. */
function attended(act: (terminal: IPty) => void): Way["points"] {
  return ({ path, steps }) =>
    steps.map(({ name, shown, later }) => ({
      name,
      end: (tmp, first) =>
        new Promise((resolve) => {
          const [program = "", ...args] = alone(chapter(path, "--yes"));
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
    contents[places].map(({ name, questions, typed }) => ({
      name,
      async end(tmp, first) {
        const command = alone(chapter(contents.path));
        const { status } = await atTerminal(
          command,
          { tmp },
          async (reader) => {
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
            first?.();
            act(reader, startedWith(tmp));
          },
        );
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

/** The process that tells a chapter: in rootless mode, process 1 of its sandbox. */
function teller(pid: number): number {
  const sandbox = childNamed("unshare", pid);
  return sandbox ? children(sandbox)[0]! : pid;
}

function childNamed(name: string, pid: number): number | undefined {
  return children(pid).find(
    (child) => read(`/proc/${child}/comm`) === `${name}\n`,
  );
}

/** Kills the bash that runs a chapter's line, as soon as there is one. */
async function killLine(child: ChildProcess): Promise<boolean> {
  const pid = teller(child.pid!);
  while (child.exitCode === null) {
    const bash = childNamed("bash", pid);
    if (bash) return process.kill(bash, "SIGKILL");
    await soon();
  }
  return false;
}

/** A disk that is full when it holds so many files, or so many bytes. */
const fullDisk: Way["points"] = ({ path }) =>
  [
    ...Array.from({ length: 25 }, (_, index) => `nr_inodes=${index + 1}`),
    ...Array.from({ length: 11 }, (_, index) => `size=${4 << index}k`),
  ].map((name) => ({
    name,
    async end(tmp) {
      const asReader = `\${SUDO_UID:+setpriv --reuid=$SUDO_UID --regid=$SUDO_GID --init-groups}`;
      const script = `mount -t tmpfs -o "$1" none "$TMPDIR" && shift || exit
        ${asReader} "$@"; status=$?
        ls -A "$TMPDIR" | sed 's/^/left: /'
        grep -o " $TMPDIR/[^ ]*" /proc/self/mountinfo | sed 's/^/left:/'
        exit $status`;
      const disk =
        mode === "sudo"
          ? ["sudo", "-n", "--preserve-env", "unshare", "--mount"]
          : ownMounts;
      const { status, stdout, stderr } = await run(
        [...disk, "bash", "-c", script, "-", name, ...chapter(path, "--yes")],
        { tmp, env: { TSX_DISABLE_CACHE: "1" } },
      );
      assert.doesNotMatch(stdout, /^left: /m);
      assert.doesNotMatch(stderr, /^ +at /m);
      return status;
    },
  }));

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
    ends: [1, 2],
    points: fullDisk,
  },
  {
    name: "is stopped by Ctrl-C",
    ends: [130],
    points: attended((terminal) => terminal.write(keys.ctrlC)),
  },
  {
    name: "is stopped by Ctrl-C again and again",
    ends: [130],
    points: attended((terminal) => {
      const again = setInterval(() => terminal.write(keys.ctrlC), 7);
      terminal.onExit(() => clearInterval(again));
    }),
  },
  {
    name: "has its terminal closed",
    ends: [129],
    points: attended((terminal) =>
      (terminal as unknown as { destroy(): void }).destroy(),
    ),
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

/** Lines that are meant to fail, and the one after which there is no more to end. */
const mayGoWell =
  /^sudo (chroot rootfs|unshare --pid) bash$|^ls -d \/$|^cd \.\.; /;

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
const goesBySandbox = (left: string) =>
  mode === "rootless" && /^(mount|process) /.test(left);

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
    mkdirSync(tmp, { recursive: true });
    const ended = await end(tmp, first && (() => first(tmp)));
    const fine = way.ends.includes(ended) || (ended === 0 && mayGoWell.test(name)) || (ended === 2 && name === "its title");
    if (!fine)
      wrong.push(`${name}: it ended with ${ended}`);
    const left = await staysIn(
      tmp,
      (each) => !way.killed || earlier.includes(each) || goesBySandbox(each),
    );
    wrong.push(...left.map((each) => `${name}: left ${each}`));
    if (way.killed) earlier = await leftIn(tmp);
  }
  if (way.killed) {
    mkdirSync(tmp, { recursive: true });
    const { status, stderr } = await run(
      chapter("chapters/02-unshare.ts", "--yes"),
      { tmp },
    );
    if (status !== 0) wrong.push(`The next start failed: ${stderr}`);
    const left = await staysIn(tmp, () => true);
    wrong.push(...left.map((each) => `The next start left ${each}`));
  }
  return wrong;
}

const chapters = cannotRun
  ? []
  : await Promise.all(
      readdirSync(file("chapters"))
        .filter((name) => /^\d\d-[\w-]+\.ts$/.test(name))
        .map((name) => contents(`chapters/${name}`)),
    );

test(
  "a chapter leaves nothing when at one of its steps it",
  { skip: cannotRun, concurrency: 4 },
  async (t) => {
    let [faults, leftOvers] = [0, 0];
    await leavesNothing(async () => {
      const groups = ways.filter(w=>!process.env.ONLY||new RegExp(process.env.ONLY).test(w.name)).flatMap((way, row) =>
        chapters.map((chapter, column) => {
          const points = way.points(chapter);
          const one = points[(row * 7 + column * 3) % points.length]!;
          const some = whole ? points : [one];
          faults += some.length;
          const name = `${way.name}: ${some.length} in ${basename(chapter.path)}`;
          return t.test(name, async () => {
            assert.deepEqual(await endEach(way, some), []);
          });
        }),
      );
      await Promise.all(groups);
    });
    console.log(`${faults} faults, 0 left-overs`);
  },
);
