/**
 * One line of shell after another, as in one terminal, through zx.
 *
 * Each line runs in its own bash. Its working directory and its variables are
 * handed on to the next line: every variable is exported (`set -a`), and as
 * bash ends it writes to a private file what brings the next bash there.
 *
 * @see bash(1)
 */
import { openSync, realpathSync, statSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import { Readable } from "node:stream";
import { $ as zx, quote, type Options, type ProcessOutput } from "zx/core";

/**
 * The variable by which a process is known that a line of ours has started, with the name of our
 * directory. sudo drops TMPDIR, but keeps LC_* unless there is a / in it: sudoers(5), env_check.
 */
export const mark = "LC_BY_HAND";

/** How a line that begins with `sudo` gets root: by sudo, or by being root already. */
export type Privilege = "sudo" | "root";

export interface Shell {
  /** A directory of ours, which holds all that its lines make. */
  directory: string;
  /**
   * Runs one line and takes over the directory and the variables it leaves.
   *
   * @param typed what is typed into the shell that the line opens
   * @returns zx's own answer, whether the line succeeded or not
   */
  run(line: string, typed?: string[]): Promise<ProcessOutput>;
  /** Runs one line beside the others, in English; nothing of it is handed on. */
  aside(line: string): Promise<ProcessOutput>;
  /** Runs one line whose input and output are the terminal. */
  atTerminal(line: string): Promise<ProcessOutput>;
  /** Runs one line while node waits, as an exit hook must; its errors are shown. */
  runSync(line: string): ProcessOutput;
  /**
   * Called, and waited for, while what a line has made is still there: after
   * the line, or before the last thing is typed into the shell that it opened.
   */
  moment?: (typed: boolean) => Promise<void>;
}

/**
 * Opens a shell.
 *
 * @param directory where the first line runs: a directory of ours, mode 0700,
 *   that holds the state file and is what TMPDIR names for every line
 */
export function openShell(directory: string, privilege: Privilege): Shell {
  const state = openSync(join(directory, "state"), "ax", 0o600);
  const settings = base({
    ...readersEnvironment(),
    ...{ TMPDIR: directory, PWD: directory, [mark]: basename(directory) },
  });
  const sudo = privilege === "root" ? 'sudo() { "$@"; }; ' : "";

  async function* type(lines: string[]) {
    yield ["exec 2>&1; set -v", ...lines.slice(0, -1), ""].join("\n");
    await shell.moment?.(true);
    yield `${lines.at(-1)}\n`;
  }

  const shell: Shell = {
    directory,

    async run(line, typed) {
      // The shell echoes each typed line on standard error: one pipe keeps it above its output.
      // Again inside, for docker exec carries the two streams apart.
      const session: Partial<Options> = typed
        ? {
            input: shell.moment
              ? Readable.from(type(typed))
              : ["exec 2>&1; set -v", ...typed, ""].join("\n"),
          }
        : {};
      const running = zx({
        ...{ ...settings, ...session, cwd: directory },
        prefix: sudo + carryOn + (typed ? "exec 2>&1\n" : ""),
        stdio: [typed ? "pipe" : "ignore", "pipe", "pipe", state],
      })(verbatim(line));
      // EPIPE: the shell is gone before all was typed. Its end says why.
      if (typed) running.stdin.on("error", () => {});
      const output = await running;
      if (!typed) await shell.moment?.(false);
      return output;
    },

    aside(line) {
      return zx({
        ...{ ...settings, cwd: directory, env: { ...settings.env, LC_ALL: "C" }, prefix: sudo },
        stdio: ["ignore", "pipe", "pipe"],
      })(verbatim(line));
    },

    atTerminal(line) {
      return zx({
        ...{ ...settings, cwd: directory },
        prefix: (sudo || noHistory) + carryOn,
        stdio: ["inherit", "inherit", "inherit", state],
      })(verbatim(asJob(line)));
    },

    runSync(line) {
      const run = zx.sync({
        prefix: `trap "" INT QUIT HUP TERM; ${sudo}`,
        ...{ ...settings, cwd: "/", stdio: ["inherit", "pipe", "inherit"] },
        detached: privilege !== "sudo",
      });
      // Whoever presses Ctrl-C again and again does not interrupt a clean-up: no terminal's key
      // reaches it in a session of its own. There sudo could not ask for its password, so with
      // sudo bash has its trap, and is started anew if it was stopped before it had set that.
      let output = run(verbatim(line));
      while (/^SIG(INT|QUIT|HUP|TERM)$/.test(output.signal ?? "")) output = run(verbatim(line));
      return output;
    },
  };
  return shell;
}

/**
 * Takes over the directory and the variables that the last line left, and will
 * hand them on. The file is number 3; its path opens it anew, to be read from
 * its start and to be emptied before it is written. Cut short by a full disk it
 * would lead astray, so then the line fails.
 */
const carryOn = `. /dev/fd/3; trap '{ echo "cd \${PWD@Q}" && export -p; } > /dev/fd/3 || exit 1' EXIT; set -a\n`;

/** What is typed into root's shells is nobody's history; sudo itself drops HISTFILE. */
const noHistory =
  'sudo() { case $1 in -*) command sudo "$@" ;; *) command sudo env HISTFILE= "$@" ;; esac; }; export -f sudo; ';

/**
 * With job control, bash lends the terminal to a line and takes it back. A
 * shell in another pid namespace cannot hand it back by itself.
 */
export const asJob = (line: string) => `set -m\n${line}\nexit`;

/**
 * Runs one line by itself, in English and in no directory of ours, while node waits.
 *
 * @returns zx's own answer, whether the line succeeded or not
 */
export function tryOut(line: string): ProcessOutput {
  return zx.sync({
    ...base({ ...readersEnvironment(), LC_ALL: "C" }),
    ...{ prefix: "", stdio: ["ignore", "pipe", "pipe"] },
  })(verbatim(line));
}

/** Runs one line by itself, with our own input and output. It also has what a chapter of ours reads. */
export function handOver(line: string, TMPDIR = process.env.TMPDIR) {
  const { BY_HAND_TOLD, DEBUG, NODE_EXTRA_CA_CERTS } = process.env;
  return zx({
    ...base({ ...readersEnvironment(), TMPDIR, BY_HAND_TOLD, DEBUG, NODE_EXTRA_CA_CERTS }),
    prefix: "",
    stdio: "inherit",
  })(verbatim(line));
}

/** What every line of ours is run with. */
function base(env: NodeJS.ProcessEnv): Partial<Options> {
  // zx would take them from ZX_* variables, and from the line that it is within
  // (its input, say), so name each.
  return {
    ...{ shell: findProgram("bash"), postfix: "", cwd: process.cwd(), env },
    ...{ preferLocal: false, detached: false, verbose: false, quiet: true, nothrow: true },
    ...{ input: undefined, timeout: undefined, timeoutSignal: undefined, killSignal: undefined },
    // Without a bash in PATH, zx has none.
    quote,
  };
}

/** A line as zx's template, with nothing quoted and no backslash read. */
function verbatim(line: string): TemplateStringsArray {
  return Object.assign([line], { raw: [line] });
}

/**
 * What a line may inherit. Everything else stays out: BASH_ENV, exported
 * functions, CDPATH, PS_FORMAT, LD_PRELOAD and their like would change what a
 * line does.
 */
const inherited =
  /^(HOME|USER|LOGNAME|TERM|NO_COLOR|FORCE_COLOR|LANG|LANGUAGE|LC_\w+|TZ|XDG_RUNTIME_DIR|DOCKER_HOST|CONTAINER_HOST)$/;

function readersEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name, value = ""]) => inherited.test(name) && !(/^L(ANG|C_)/.test(name) && !isLocale(value)),
  );
  const { LC_ALL, ...others } = Object.fromEntries(kept);
  // In a root file system without that locale, bash complains of LC_ALL, and not of LANG.
  if (LC_ALL) {
    for (const name of Object.keys(others)) if (name.startsWith("LC_")) delete others[name];
    others.LANG = LC_ALL;
  }
  return {
    ...others,
    PATH: searchPath().join(":"),
    // What is typed into a shell in a chapter is nobody's history.
    HISTFILE: "",
    // Below 2, a bash whose input is a socket (node's pipes are) reads ~/.bashrc.
    SHLVL: "1",
  };
}

/** Whether it can be a locale's name, or names of several: not a path, for one. */
const isLocale = (value: string) => /^[\w.@:-]*$/.test(value);

const systemDirectories = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
];

/**
 * Where lines find their programs: the directories of PATH that only root can
 * write to, then the system's own, which an ordinary user's PATH may lack.
 */
export function searchPath(): string[] {
  const path = (process.env.PATH ?? "").split(":").filter(onlyRootWrites);
  // Where they are now: a link could be made to lead elsewhere.
  const real = path.map((directory) => realpathSync.native(directory));
  // As they stand: in another root they may be links no more.
  return [...new Set([...real, ...systemDirectories])];
}

function onlyRootWrites(directory: string): boolean {
  const stat = isAbsolute(directory) && look(directory);
  return stat && stat.uid === 0 && (stat.mode & 0o022) === 0;
}

/** The file that a line runs when it says `name`, or undefined if there is none. */
export function findProgram(name: string, path = searchPath()): string | undefined {
  return path
    .map((directory) => join(directory, name))
    .find((file) => {
      const stat = look(file);
      return stat && stat.isFile() && (stat.mode & 0o111) !== 0;
    });
}

/** A file's attributes, or false if it is not there or out of sight. */
function look(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? false;
  } catch {
    return false;
  }
}
