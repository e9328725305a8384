/**
 * What the tests share: programs run for real, without a terminal and at one,
 * and the machine as it was before and as it is after.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { spawn as spawnAtTerminal } from "@lydell/node-pty";
import { findProgram } from "../shell.ts";

/** The checkout. */
export const checkout = fileURLToPath(new URL("../..", import.meta.url));

/** The path of a file of the checkout. */
export const file = (path: string) => join(checkout, path);

// ── What this machine allows

/** How the tests let a chapter be root: by being it, by a sudo that asks nothing, or rootless. */
export const mode = findMode();
console.log(`Chapters run as: ${mode ?? "nobody, so they are skipped"}.`);

/** A command that has root over mounts of its own, which nobody else sees. */
export const ownMounts = [
  "unshare",
  ...(mode === "root" ? [] : ["--user", "--map-root-user"]),
  "--mount",
];

function findMode(): "root" | "sudo" | "rootless" | undefined {
  if (process.getuid?.() === 0) return "root";
  if (succeeds("sudo", "-n", "true")) return "sudo";
  const namespaces = "--user --map-root-user --mount --pid --fork --mount-proc";
  if (succeeds("unshare", ...namespaces.split(" "), "true")) return "rootless";
  return undefined;
}

/** Whether a command can be run, and exits with 0. */
export function succeeds(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

/** Why a test that needs these tools is skipped, or false if they are all there. */
export function missingTools(...tools: string[]): string | false {
  const missing = tools.filter((tool) => !findProgram(tool));
  return missing.length > 0 && `not installed: ${missing.join(", ")}`;
}

/** Why a test that runs a chapter is skipped, or false if it can be run. */
export const cannotRun =
  (!mode && "neither root, nor a sudo that asks nothing, nor user namespaces") ||
  missingTools("ip", "ps", "pgrep", "hostname", "ldd", "find");

/** Why a test that needs the real root is skipped, or false. */
export const notRoot =
  mode !== "root" && mode !== "sudo" && "needs root, or a sudo that asks nothing";

/** Why a test that needs {@link ownMounts} is skipped, or false. */
export const noOwnMounts =
  !succeeds(ownMounts[0]!, ...ownMounts.slice(1), "true") &&
  "no mount namespace for this user on this machine";

// ── Temporary directories

/** Where all of this process's runs have their TMPDIR. */
const scratch = mkdtempSync(join(realpathSync(tmpdir()), "by-hand-test."));
chmodSync(scratch, 0o711);
/** An interactive bash writes its history there, and not in the developer's. */
const home = mkdtempSync(join(tmpdir(), "by-hand-home."));

process.on("exit", () => {
  rmSync(home, { recursive: true, force: true });
  removeEmpty(scratch);
});

/** A fresh directory, with a given name or any; {@link tidy} removes it. */
export function temporary(name?: string): string {
  const parent = mkdtempSync(join(scratch, "run."));
  chmodSync(parent, 0o711);
  const directory = join(parent, name ?? "tmp");
  mkdirSync(directory);
  return directory;
}

/** Removes a temporary directory if nothing but tsx's cache is in it. */
export function tidy(directory: string) {
  const caches = readdirSync(directory).filter((name) => /^tsx-/.test(name));
  for (const cache of caches) rmSync(join(directory, cache), { recursive: true });
  if (removeEmpty(directory)) removeEmpty(join(directory, ".."));
}

/** Never more than an empty directory: there may be a mount in it. */
function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    return false;
  }
}

// ── Programs

interface RunOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Left out, a fresh one. It must be empty after the run. */
  tmp?: string;
}

/** The command that runs TypeScript: `node --import tsx`, and these arguments. */
export function tsx(...args: string[]): string[] {
  return [process.execPath, "--import", import.meta.resolve("tsx"), ...args];
}

/** The command that runs a chapter, in the mode that there is. */
export function chapter(path: string, ...flags: string[]): string[] {
  const how = mode === "rootless" ? ["--rootless"] : [];
  return tsx(file(path), ...flags, ...how);
}

/** The command that runs a few statements, in which `load("….ts")` imports from lib. */
export function tsxEval(code: string): string[] {
  const lib = JSON.stringify(new URL("..", import.meta.url).href);
  return tsx(
    "--input-type=module",
    "--eval",
    `const load = (name) => import(${lib} + name);\n${code}`,
  );
}

/** Little of the developer's own environment: what a terminal would have. */
function environment(tmp: string, more: NodeJS.ProcessEnv = {}) {
  const { PATH, USER } = process.env;
  const terminal = { LANG: "C.UTF-8", TERM: "xterm-256color" };
  return { PATH, USER, HOME: home, TMPDIR: tmp, ...terminal, ...more };
}

/**
 * Runs a command that has no terminal.
 *
 * @param timeout after how many milliseconds it is ended
 * @param input what it reads from standard input
 * @param once what to do as soon as its standard output matches
 */
export async function run(
  command: string[],
  {
    env,
    cwd = checkout,
    tmp = temporary(),
    timeout = 60_000,
    input = "",
    once,
  }: RunOptions & {
    timeout?: number;
    input?: string;
    once?: { prints: RegExp; then: (child: ChildProcess) => void };
  } = {},
) {
  const child = spawn(command[0]!, command.slice(1), {
    cwd,
    env: environment(tmp, env),
    timeout,
    // A session of its own: otherwise the tests' terminal would be in reach.
    detached: true,
  });
  let [stdout, stderr, waiting] = ["", "", once];
  child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
    if (!waiting?.prints.test(stdout)) return;
    waiting.then(child);
    waiting = undefined;
  });
  child.stdin.on("error", () => {}).end(input);
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      child.on("error", reject).on("close", (...how) => resolve(how));
    },
  );
  tidy(tmp);
  assert.equal(waiting, undefined, `${waiting?.prints} was not printed`);
  return { status, signal, stdout, stderr };
}

/** Someone at a terminal. */
export interface Reader {
  /** Waits until what was printed since the last call matches; returns the match. */
  sees(pattern: RegExp): Promise<string>;
  types(keys: string): void;
  /** Closes the terminal's window. */
  leaves(): void;
}

/** What these keys send. */
export const keys = {
  enter: "\r",
  up: "\x1b[A",
  down: "\x1b[B",
  ctrlC: "\x03",
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

/**
 * Runs a command at a terminal until it ends.
 *
 * @param reader what the person at the terminal does
 * @returns the exit status, 128 and more for a signal; and all that was
 *   printed, without colours
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
    cols,
    rows,
    cwd,
    env: environment(tmp, env),
  });
  let raw = "";
  let seen = 0;
  let status: number | undefined;
  pty.onData((text) => (raw += text));
  pty.onExit(({ exitCode, signal }) => {
    status = signal ? 128 + signal : exitCode;
  });
  const screen = () => stripVTControlCharacters(raw).replaceAll("\r\n", "\n");

  async function until(what: string, done: () => boolean) {
    for (let waited = 0; !done(); waited += 20) {
      if (waited >= 60_000 || (status !== undefined && waited > 1000))
        assert.fail(`${what} did not come. The screen:\n${screen()}`);
      await sleep(20);
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
      leaves: () => (pty as unknown as { destroy(): void }).destroy(),
    });
    await until("The end", () => status !== undefined);
  } finally {
    if (status === undefined) pty.kill();
    else tidy(tmp);
  }
  return { status, output: screen() };
}

// ── The machine

interface Process {
  pid: number;
  parent: number;
  session: number;
  name: string;
  /** Tells it from a later process with the same pid. */
  started: string;
}

interface Machine {
  /** Mounts, host name, network interfaces, temporary files. */
  facts: Set<string>;
  processes: Map<number, Process>;
  /** Where the links in /proc/PID/ns lead, by pid. */
  namespaces: [pid: number, namespace: string][];
  /** The processes whose root or working directory is one of ours. */
  residents: Set<number>;
}

/**
 * An engine's own mounts and processes come and go as it pleases. Whether it
 * has a container left is for the tests of the engines to ask.
 */
const storage = /^\/(var\/lib|run)\/(docker|containers|netns)|\/containers\/storage\//;
const engines = /^(dockerd|containerd|docker|podman|conmon|slirp4netns|fuse-overlay)/;

/** Does something, and fails if the machine is another afterwards. */
export async function leavesNothing<T>(deed: () => Promise<T>): Promise<T> {
  const before = machine();
  const result = await deed();
  let left = differences(before, machine());
  // What was killed takes a moment to go.
  for (let tries = 0; left.length > 0 && tries < 50; tries++) {
    await sleep(100);
    left = differences(before, machine());
  }
  assert.deepEqual(left, []);
  return result;
}

function machine(): Machine {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const files = readdirSync(scratch).flatMap((run) =>
    readdirSync(join(scratch, run)).flatMap((tmp) =>
      readdirSync(join(scratch, run, tmp)).map((name) => join(run, tmp, name)),
    ),
  );
  const facts = [
    ...mounts
      .filter((mount) => !storage.test(mount.split(" ")[4]!))
      .map((mount) => `mount ${mount}`),
    `host name ${hostname()}`,
    ...readdirSync("/sys/class/net").map((name) => `interface ${name}`),
    ...files.map((name) => `file ${name}`),
  ];
  return { facts: new Set(facts), processes: processes(), ...links() };
}

/** A flag in /proc/PID/stat: see proc_pid_stat(5), and linux/sched.h. */
const PF_EXITING = 0x4;

function processes(): Map<number, Process> {
  const found = new Map<number, Process>();
  for (const entry of readdirSync("/proc").filter((name) => +name)) {
    const pid = Number(entry);
    const stat = read(`/proc/${pid}/stat`);
    const [, name = "", rest = ""] = /\((.*)\) (.*)/s.exec(stat) ?? [];
    const fields = rest.split(" ");
    const [state, parent, , session, , , flags] = fields;
    // One that is ending holds nothing. It can take for ever to be gone: in a
    // container, process 1 may be a program that reaps no orphans.
    const isEnding = state === "Z" || Number(flags) & PF_EXITING;
    const started = fields[19] ?? "";
    if (!stat || isEnding) continue;
    const [above, leader] = [Number(parent), Number(session)];
    found.set(pid, { pid, parent: above, session: leader, name, started });
  }
  return found;
}

/** The content of a file of a process; empty if the process is gone. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** What can be read of all processes; without root only one's own can be. */
function links(): Pick<Machine, "namespaces" | "residents"> {
  const sudo = mode === "sudo" ? "sudo -n" : "";
  const listing = execFileSync("bash", [
    "-c",
    // A process may end meanwhile, and others' may be out of reach.
    `${sudo} find /proc/[0-9]*/{ns,root,cwd} -type l -printf '%p %l\\n' 2>/dev/null; true`,
  ]).toString();
  const namespaces: Machine["namespaces"] = [];
  const residents = new Set<number>();
  for (const [, pid, kind, target = ""] of listing.matchAll(/^\/proc\/(\d+)\/(\w+)\S* (.*)$/gm))
    if (kind === "ns") namespaces.push([Number(pid), target]);
    else if (target.startsWith(scratch)) residents.add(Number(pid));
  return { namespaces, residents };
}

/** What is on one machine and not on the other, one by one. */
function differences(before: Machine, after: Machine): string[] {
  const isOld = ({ pid, started }: Process) => before.processes.get(pid)?.started === started;

  /** Whether a new process comes from the test, and not from something else on this machine. */
  function isOurs({ pid, parent, session, name }: Process): boolean {
    if (engines.test(name)) return false;
    if (parent === process.pid || after.residents.has(pid)) return true;
    const above = after.processes.get(parent);
    if (!above) return false;
    if (!isOld(above)) return isOurs(above);
    // Whose parent is gone becomes a child of pid 1, or of the user's systemd.
    // What those start themselves is in their session, or leads one.
    const adopts = parent === 1 || above.name === "systemd";
    return adopts && ![pid, above.session].includes(session);
  }

  const processes = [...after.processes.values()];
  const ours = processes.filter((each) => !isOld(each) && isOurs(each));
  const strangers = processes.filter((each) => !isOld(each) && !isOurs(each));
  const known = new Set(before.namespaces.map(([, namespace]) => namespace));
  const namespaces = after.namespaces.filter(
    ([pid, namespace]) =>
      !known.has(namespace) &&
      after.processes.has(pid) &&
      !strangers.some((each) => each.pid === pid),
  );
  return [
    ...minus(before.facts, after.facts).map((fact) => `gone: ${fact}`),
    ...minus(after.facts, before.facts).map((fact) => `left: ${fact}`),
    ...ours.map(({ pid, name }) => `left: process ${pid} (${name})`),
    ...namespaces.map(([pid, name]) => `left: namespace ${name} of ${pid}`),
  ];
}

function minus(one: Set<string>, other: Set<string>): string[] {
  return [...one].filter((each) => !other.has(each));
}

// ── What every chapter must do

/**
 * What shellcheck may not complain about:
 * - SC2016, SC2046, SC2086: some quoting is left out where it cannot matter and
 *   would bury the lesson (a pid, a program's path).
 * - SC2024: a redirection is the caller's, not sudo's. It is meant to be.
 * - SC2103, SC2164: no `cd … || exit`, for one types these at a prompt, where
 *   exit would close the terminal.
 */
export const shellcheckExclusions = "SC2016,SC2024,SC2046,SC2086,SC2103,SC2164";

/** A directory's name with all that is awkward in a path. */
export const awkward = {
  blank: " ",
  quote: "'",
  colon: ":",
  comma: ",",
  newline: "\n",
};

const german = { LANG: "C.UTF-8", LANGUAGE: "de" };
const noGerman =
  /No such file/.test(
    spawnSync("ls", ["/no/such/file"], {
      env: { PATH: process.env.PATH, ...german },
      encoding: "utf8",
    }).stderr,
  ) && "no translations on this machine";

/** The lines that a reader types, in the text of a printed script or of a README's blocks. */
export function typedLines(script: string): string[] {
  return script
    .split("\n")
    .filter((line) => !/^(#|$|INSIDE$|command -v sudo )/.test(line))
    .map((line) => line.replace(/ <<'INSIDE'$/, ""));
}

/** The blocks of shell in a chapter's section of the README. */
function readmeBlocks(number: string): string {
  const sections = readFileSync(file("README.md"), "utf8").split(/^(?=## )/m);
  const section = sections.find((text) => text.startsWith(`## ${number} `));
  const blocks = section?.matchAll(/^```sh(?: inside)?\n([^]*?)^```$/gm);
  return [...(blocks ?? [])].map(([, block]) => block).join("");
}

/**
 * Registers the tests that every chapter has.
 *
 * @param path the chapter's, from the checkout
 * @param shows what its lines print, by --yes and by the script alike
 * @param stops the signals, and where in the chapter they come
 */
export function testChapter(
  path: string,
  { shows, stops }: { shows: RegExp[]; stops: [NodeJS.Signals, RegExp][] },
) {
  const number = basename(path).slice(0, 2);
  let printed: ReturnType<typeof run> | undefined;
  const print = async () => {
    const { status, stdout } = await (printed ??= run(chapter(path, "--print")));
    assert.equal(status, 0);
    return stdout;
  };

  describe(path, () => {
    test("names itself in its @run line", () => {
      const run = /^ \* @run (.*)$/m.exec(readFileSync(file(path), "utf8"));
      assert.equal(run?.[1], `npx tsx ${path}`);
    });

    test("--yes proves every claim", { skip: cannotRun }, async () => {
      const { status, stdout, stderr } = await leavesNothing(() => run(chapter(path, "--yes")));
      assert.equal(stderr, "");
      assert.equal(status, 0);
      for (const pattern of shows) assert.match(stdout, pattern);
      const claims = (await print()).match(/^# ✔ /gm)?.length;
      assert.ok(claims);
      assert.equal(stdout.match(/^✔ /gm)?.length, claims);
      assert.doesNotMatch(stdout, /✘/);
    });

    test("--print is what bash can read", async () => {
      const { status, stderr } = await run(["bash", "-n"], {
        input: await print(),
      });
      assert.equal(stderr, "");
      assert.equal(status, 0);
    });

    test(
      "--print is what shellcheck approves of",
      { skip: missingTools("shellcheck") },
      async () => {
        const { status, stdout } = await run(
          ["shellcheck", `--exclude=${shellcheckExclusions}`, "-"],
          { input: await print() },
        );
        assert.equal(stdout, "");
        assert.equal(status, 0);
      },
    );

    test(
      "--print is a script that needs nothing else",
      { skip: cannotRun || notRoot },
      async () => {
        const { status, stdout, stderr } = await leavesNothing(async () =>
          run(["bash"], { input: await print() }),
        );
        assert.equal(status, 0);
        for (const pattern of shows) assert.match(stdout + stderr, pattern);
      },
    );

    test("--print equals the README's lines", async () => {
      assert.deepEqual(typedLines(readmeBlocks(number)), typedLines(await print()));
    });

    test("--yes leaves nothing when TMPDIR is awkward", { skip: cannotRun }, async () => {
      const tmp = temporary(Object.values(awkward).join("x"));
      const { status, stderr } = await leavesNothing(() => run(chapter(path, "--yes"), { tmp }));
      assert.equal(stderr, "");
      assert.equal(status, 0);
    });

    test(
      "--yes proves every claim when the reader's language is not English",
      { skip: cannotRun || noGerman },
      async () => {
        const { status, stderr } = await leavesNothing(() =>
          run(chapter(path, "--yes"), { env: german }),
        );
        assert.equal(stderr, "");
        assert.equal(status, 0);
      },
    );

    test("--yes stops when its output is closed", { skip: cannotRun }, async () => {
      const { status, signal } = await leavesNothing(() =>
        run(chapter(path, "--yes"), {
          once: {
            prints: /(.*\n){3}/,
            then: (child) => child.stdout?.destroy(),
          },
        }),
      );
      assert.equal(signal, null);
      assert.notEqual(status, 0);
    });

    for (const [signal, prints] of stops)
      test(`--yes stops at ${signal} after ${prints}`, { skip: cannotRun }, async () => {
        const { status, stdout } = await leavesNothing(() =>
          run(chapter(path, "--yes"), {
            once: { prints, then: (child) => child.kill(signal) },
          }),
        );
        const statuses = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };
        assert.equal(status, statuses[signal as keyof typeof statuses]);
        assert.doesNotMatch(stdout, /^cd \.\.; /m);
      });
  });
}
