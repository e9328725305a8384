/**
 * What the tests share: the chapters, and programs run for real, without a terminal and at one.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { spawn as spawnAtTerminal } from "@lydell/node-pty";
import { challengeFile, chaptersIn, readHeader } from "../header.ts";
import { searchPath } from "../shell.ts";
import { cannotRun, checkout, mode, ownMounts } from "./here.ts";
import { leadsSession, temporary, tidy } from "./machine.ts";

export * from "./here.ts";
export { leavesNothing, temporary, tidy } from "./machine.ts";

/** The path of a file of the checkout. */
export const file = (path: string) => join(checkout, path);

/** A fixture: a chapter that is there for the tests. */
export const fixture = (name: string) => file(`lib/test/fixtures/${name}.ts`);

const all = chaptersIn(file("chapters"));

/** A chapter by its number, whether or not it is among {@link chapters}. */
export const numbered = (number: string) =>
  all.find((path) => basename(path).startsWith(`${number}-`))!;

/** All chapters, as paths, or those of BY_HAND_CHAPTERS (`05,06`); and those that have challenges. */
export const chapters = all.filter((path) =>
  (process.env.BY_HAND_CHAPTERS ?? "").split(",").some((each) => basename(path).startsWith(each)),
);
export const challenged = chapters.filter((path) => existsSync(challengeFile(path)));

/** What can be told: every chapter, and the challenges of each; and the file where that is written. */
export const stories = [
  ...chapters.map((path) => ({ path, source: path, flags: [] as string[] })),
  ...challenged.map((path) => ({ path, source: challengeFile(path), flags: ["--challenge"] })),
].map((story) => ({ ...story, name: [basename(story.path), ...story.flags].join(" ") }));

// ── Commands

/** An option of node that runs a statement first. */
const first = (statement: string) => [
  "--import",
  `data:text/javascript,${encodeURIComponent(statement)}`,
];

/**
 * The command that runs TypeScript: `node --import tsx`, and these arguments. tsx keeps what it has
 * compiled in the temp directory; each run has one of its own, so while tsx is loaded it is ours.
 */
export function tsx(...args: string[]): string[] {
  return [
    process.execPath,
    ...first(
      `globalThis.own = process.env.TMPDIR; process.env.TMPDIR = ${JSON.stringify(tmpdir())}`,
    ),
    ...["--import", import.meta.resolve("tsx")],
    ...first("if (own) process.env.TMPDIR = own; else delete process.env.TMPDIR"),
    ...args,
  ];
}

/** The command that runs a chapter, given by its path or its number, in the mode that there is. */
export function chapter(which: string, ...flags: string[]): string[] {
  return tsx(find(which), ...flags, ...(mode === "rootless" ? ["--rootless"] : []));
}

const find = (which: string) => (/^\d\d$/.test(which) ? numbered(which) : which);

/** The command that runs a few statements, in which `load("….ts")` imports from lib. */
export function tsxEval(code: string): string[] {
  const lib = JSON.stringify(new URL("..", import.meta.url).href);
  return tsx(
    "--input-type=module",
    "--eval",
    `const load = (name) => import(${lib} + name);\n${code}`,
  );
}

interface RunOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Left out, a fresh one. It must be empty after the run. */
  tmp?: string;
}

/** How many times slower this machine is than others, such as a kernel that is a process. */
export const slowness = Number(process.env.BY_HAND_SLOWNESS ?? 1);

/** An interactive bash would write its history there, and not in the developer's. */
let home: string | undefined;

/** Little of the developer's own environment: what a terminal would have. */
export function environment(tmp: string, more: NodeJS.ProcessEnv = {}) {
  const { PATH, USER } = process.env;
  const terminal = { LANG: "C.UTF-8", TERM: "xterm-256color" };
  const told = { BY_HAND_TOLD: "/dev/null" };
  return {
    PATH,
    USER,
    HOME: (home ??= temporary("home")),
    TMPDIR: tmp,
    ...terminal,
    ...told,
    ...more,
  };
}

// Before that which it is in is removed.
process.prependListener("exit", () => {
  if (home) rmSync(join(home, ".."), { recursive: true });
});

/** Waits for what must come to be, for at most ten seconds, or longer where all is slow. */
export async function until(holds: () => boolean, what = `${holds}`) {
  for (const end = Date.now() + 10_000 * slowness; !holds(); await sleep(10))
    if (Date.now() > end) assert.fail(`This did not come to be: ${what}`);
}

// ── Without a terminal

/** How a program ended, and what it printed. */
export interface Told {
  command: string[];
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs a command that has no terminal.
 *
 * @param timeout after how many milliseconds it is ended
 * @param input what it reads from standard input
 * @param once what to do as soon as its standard output matches, or at once
 */
export async function run(
  command: string[],
  {
    env,
    cwd = checkout,
    tmp = temporary(),
    timeout = 120_000 * slowness,
    input = "",
    once,
  }: RunOptions & {
    timeout?: number;
    input?: string;
    once?: { prints?: RegExp; then: (child: ChildProcess) => void };
  } = {},
): Promise<Told> {
  const child = spawn(command[0]!, command.slice(1), {
    cwd,
    env: environment(tmp, env),
    timeout,
    // A session of its own: otherwise the tests' terminal would be in reach.
    detached: true,
  });
  if (child.pid) leadsSession(child.pid);
  let [stdout, stderr, waiting] = ["", "", once];
  child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
  const look = () => {
    if (!waiting || (waiting.prints && !waiting.prints.test(stdout))) return;
    const { then } = waiting;
    waiting = undefined;
    then(child);
  };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
    look();
  });
  if (once && !once.prints) look();
  child.stdin.on("error", () => {}).end(input);
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      child.on("error", reject).on("close", (...how) => resolve(how));
    },
  );
  tidy(tmp);
  const told = { command, status, signal, stdout, stderr };
  assert.equal(waiting, undefined, `${waiting?.prints} was not printed: ${inShort(told)}`);
  return told;
}

/** Runs a chapter, given by its path or its number. */
export const walk = (which: string, ...flags: string[]) => run(chapter(which, ...flags));

/**
 * Why a chapter cannot be told on this machine, in its own words, or false if it can: it is asked, as
 * far as its first step, if there is something that it tries before that.
 */
export async function whyNot(path: string, ...flags: string[]): Promise<string | false> {
  if (cannotRun || readHeader(path).tries.length === 0) return cannotRun;
  const asFarAsThat = `"$@" | grep --quiet ^WORK=; exit \${PIPESTATUS[0]}`;
  const command = ["bash", "-c", asFarAsThat, "bash", ...chapter(path, "--yes", ...flags)];
  const { status, stderr } = await run(command);
  return status === 2 && stderr.trim();
}

/** The same for every chapter, by its path. */
export async function whyNots(): Promise<Map<string, string | false>> {
  const reasons = chapters.map(async (path) => [path, await whyNot(path)] as const);
  return new Map(await Promise.all(reasons));
}

/** Those of these chapters that can be told on this machine. */
export async function tellable(paths: string[], ...flags: string[]): Promise<string[]> {
  const reasons = await Promise.all(paths.map((path) => whyNot(path, ...flags)));
  return paths.filter((_, at) => !reasons[at]);
}

/** What a red test shows: the command, the line it was at, and the end of the screen. */
export function inShort({ command, status, signal, stdout, stderr }: Told): string {
  const at = stdout.match(/^[^\s│┌└─✔✘].*$/gm)?.at(-1);
  const end = stdout.trimEnd().split("\n").slice(-25).join("\n");
  const words = command.slice(
    Math.max(
      0,
      command.findIndex((word) => word.startsWith(checkout)),
    ),
  );
  return `${words.join(" ").replaceAll(checkout, "")}: ${signal ?? `status ${status}`}
It was at: ${at}
The screen:
${end}
Its complaints:
${stderr}`;
}

/** Asserts that a chapter was told to its end, with nothing to complain about; returns it. */
export function toldToItsEnd(told: Told): Told {
  assert.ok(told.status === 0 && told.stderr === "" && !/✘/.test(told.stdout), inShort(told));
  return told;
}

/** Asserts that a program refused to start: no line was shown, so none was run. Returns why. */
export function refused(told: Told): string {
  const { status, stdout, stderr } = told;
  const traces = /^ +at /m.test(stderr);
  assert.ok(status === 2 && !/^WORK=/m.test(stdout) && stderr && !traces, inShort(told));
  return stderr;
}

// ── At a terminal

/** Someone at a terminal. */
export interface Reader {
  /** Waits until what was printed since the last call matches; returns the match. */
  sees(pattern: RegExp): Promise<string>;
  types(keys: string): void;
  /** Closes the terminal's window. */
  leaves(): void;
  /** The process that leads the terminal's session. */
  pid: number;
}

/** What these keys send. */
export const keys = {
  enter: "\r",
  up: "\x1b[A",
  down: "\x1b[B",
  ctrlC: "\x03",
  ctrlBackslash: "\x1c",
};

/** The last line of every question that a chapter asks. */
export const question = /Stop here\n/;

/** Answers as many questions with Enter, or all of them to the chapter's end. */
export async function agree({ sees, types }: Reader, questions = Infinity) {
  for (; questions > 0; questions--) {
    const seen = await sees(/(Stop here|Not now)\n|^Told to the end/m);
    if (seen.startsWith("Told")) return;
    types(keys.enter);
  }
}

/** Goes on until a question comes below what matches, and does not answer it. */
export async function agreeUntil(reader: Reader, pattern: RegExp) {
  for (;;) {
    const seen = await reader.sees(/[^]*?(Stop here|Not now)\n/);
    if (pattern.test(seen)) return;
    reader.types(keys.enter);
  }
}

/**
 * Runs a command at a terminal until it ends.
 *
 * @param reader what the person at the terminal does
 * @returns the exit status, 128 and more for a signal; all that was printed, without colours; and
 *   the same as a terminal gets it
 */
export async function atTerminal(
  command: string[],
  {
    env,
    cwd = checkout,
    tmp = temporary(),
    cols = 100,
    rows = 30,
  }: RunOptions & { cols?: number; rows?: number },
  reader: (reader: Reader) => Promise<void>,
) {
  const pty = spawnAtTerminal(command[0]!, command.slice(1), {
    ...{ cols, rows, cwd, env: environment(tmp, env) },
  });
  leadsSession(pty.pid);
  let raw = "";
  let seen = 0;
  let status: number | undefined;
  let news = () => {};
  pty.onData((text) => {
    raw += text;
    news();
  });
  pty.onExit(({ exitCode, signal }) => {
    status = signal ? 128 + signal : exitCode;
    news();
  });
  const screen = () => stripVTControlCharacters(raw).replaceAll("\r\n", "\n");

  async function until(what: string, done: () => boolean) {
    for (const end = Date.now() + 120_000 * slowness; !done();) {
      // What it printed last may come after its end.
      const patience = status === undefined ? end - Date.now() : 500;
      const isOver = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(resolve, Math.max(0, patience), true);
        news = () => {
          clearTimeout(timer);
          resolve(false);
        };
      });
      if (isOver && !done())
        assert.fail(
          `${command.at(-1)?.replace(checkout, "")}: ${what} did not come. The screen:\n${screen()}`,
        );
    }
  }
  try {
    await reader({
      async sees(pattern) {
        let match: RegExpExecArray | null = null;
        await until(`${pattern}`, () => (match = pattern.exec(screen().slice(seen))) !== null);
        seen += match!.index + match![0].length;
        return match![0];
      },
      types: (keys) => pty.write(keys),
      leaves: () => close(pty),
      pid: pty.pid,
    });
    await until("The end", () => status !== undefined);
  } finally {
    if (status === undefined) pty.kill();
    else tidy(tmp);
  }
  return { status, output: screen(), raw };
}

/** Closes a terminal's window. */
export const close = (pty: ReturnType<typeof spawnAtTerminal>) =>
  (pty as unknown as { destroy(): void }).destroy();

// ── What is printed

/** The lines that a reader types, in the text of a printed script. */
export function typedLines(script: string): string[] {
  return script
    .split("\n")
    .filter((line) => !/^(#|$|INSIDE$|command -v sudo )/.test(line))
    .map((line) => line.replace(/ <<'INSIDE'$/, ""));
}

/** The claims on a screen (`✔ …`) or in a script (`# ✔ …`), each as one line. */
export function claimsIn(text: string): string[] {
  return [...text.matchAll(/^(# )?✔ (.*(?:\n(?!$|#$| ).*)*)/gm)].map(([, , claim = ""]) =>
    claim.replace(/\n(# )?/g, " "),
  );
}

/**
 * What shellcheck may not complain about:
 * - SC2016, SC2046, SC2086: some quoting is left out where it cannot matter and
 *   would bury the lesson (a pid, a program's path).
 * - SC2024: a redirection is the caller's, not sudo's. It is meant to be.
 * - SC2129: several lines are appended to a file one by one, as they are typed.
 * - SC2103, SC2164: no `cd … || exit`, for one types these at a prompt, where
 *   exit would close the terminal.
 */
export const shellcheckExclusions = "SC2016,SC2024,SC2046,SC2086,SC2103,SC2129,SC2164";

/**
 * The lines of a chapter that are meant to fail: those that its source marks with `nothrow`.
 *
 * @returns a pattern for each, as values may be filled in
 */
export function meantToFail(path: string): RegExp[] {
  const marked = /nothrow: true,?\s*\}\)`\s*([^`\n]+)/g;
  return [...readFileSync(path, "utf8").matchAll(marked)].map(([, line = ""]) => {
    const parts = line.trim().split(/\$\{[^}]*\}/);
    return new RegExp(`^${parts.map((part) => part.replace(/\W/g, "\\$&")).join(".*")}$`);
  });
}

/** The command, where to start a program is an error, other than tsx's own compiler. */
export function withoutStarting([node = "", ...args]: string[]): string[] {
  const hook = `
    import processes from "node:child_process";
    import { syncBuiltinESMExports } from "node:module";
    const refuse = (start) => function (what, ...rest) {
      const program = String(what?.file ?? what);
      if (!program.endsWith("esbuild")) throw new Error("This would start " + program);
      return start.call(this, what, ...rest);
    };
    const { prototype } = processes.ChildProcess;
    prototype.spawn = refuse(prototype.spawn);
    for (const name of ["spawnSync", "execSync", "execFileSync"])
      processes[name] = refuse(processes[name]);
    syncBuiltinESMExports();`;
  return [node, "--import", `data:text/javascript,${encodeURIComponent(hook)}`, ...args];
}

/** The command, on a machine where a tool is not installed. */
export function withoutTool(tool: string, command: string[]): string[] {
  const files = searchPath()
    .map((directory) => join(directory, tool))
    .filter((file) => existsSync(file))
    .map((file) => realpathSync(file));
  const hide = [...new Set(files)].map((file) => `mount --bind /dev/null ${file}`);
  const script = [...hide, 'exec "$@"'].join(" && ");
  return [...ownMounts, "sh", "-c", script, "sh", ...command];
}

/**
 * The command, which a seccomp filter forbids to make a system call, if that has this first argument.
 * See seccomp(2).
 *
 * @param number as perl reads it; `$prctl` is that of prctl(2)
 * @param error what the kernel answers, as in errno(3)
 */
export function forbid(
  number: string,
  first: number | undefined,
  error: number,
  command: string[],
) {
  const check = first === undefined ? "" : `32,0,0,16, 21,0,1,${first},`;
  const script = `($prctl) = qx(uname -m) =~ /x86_64/ ? 157 : 167; $f = pack "(SCCL)*", 32,0,0,0, 21,0,${first === undefined ? 1 : 3},${number}, ${check} 6,0,0,${0x50000 + error}, 6,0,0,0x7FFF0000; $p = pack "Sx6P", length($f) / 8, $f; syscall($prctl, 22, 2, $p) and die $!; exec @ARGV`;
  return ["perl", "-e", script, ...command];
}

/** Texts that are commands to whoever does not quote them. */
export const injections: ((command: string) => string)[] = [
  (command) => `$(${command})`,
  (command) => `\`${command}\``,
  (command) => `; ${command};`,
  (command) => `'; ${command}; '`,
  (command) => `"; ${command}; "`,
  (command) => `x\n${command}\n`,
  (command) => `() { :; }; ${command}`,
  (command) => `x=y[$(${command})]`,
];
