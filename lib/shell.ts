/**
 * One line of shell after another, as in one terminal, through zx.
 *
 * Each line runs in its own bash. Its working directory and its variables are
 * handed on to the next line: every variable is exported (`set -a`), and as
 * bash ends it writes its environment, `PWD` included, to a private file.
 *
 * @see bash(1), environ(7)
 */
import { ftruncateSync, openSync, readFileSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { Readable } from "node:stream";
import { $ as zx, type Options, type ProcessOutput } from "zx/core";

/** How a line that begins with `sudo` gets root: by sudo, or by being root already. */
export type Privilege = "sudo" | "root";

export interface Shell {
  /**
   * Runs one line and takes over the directory and the variables it leaves.
   *
   * @param typed what is typed into the shell that the line opens
   * @returns zx's own answer, whether the line succeeded or not
   */
  run(line: string, typed?: string[]): Promise<ProcessOutput>;
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
  const stateFile = join(directory, "state");
  const state = openSync(stateFile, "ax", 0o600);
  let environment: NodeJS.ProcessEnv = {
    ...readersEnvironment(),
    TMPDIR: directory,
    PWD: directory,
  };

  const settings = () => ({
    ...base(environment),
    prefix:
      (privilege === "root" ? 'sudo() { "$@"; }; ' : "") +
      "trap 'env -0 >&3' EXIT; set -a\n",
    cwd: environment.PWD,
  });

  const shell: Shell = {
    async run(line, typed) {
      ftruncateSync(state);
      const settled: Partial<Options> = settings();
      if (typed) {
        // The shell echoes each line on standard error: one pipe keeps it above its output.
        settled.prefix += "exec 2>&1\n";
        settled.input = shell.moment
          ? Readable.from(type(typed))
          : ["set -v", ...typed, ""].join("\n");
      }
      const output = await zx({
        ...settled,
        stdio: [typed ? "pipe" : "ignore", "pipe", "pipe", state],
      })(verbatim(line));
      environment = { ...environment, ...parseState(stateFile) };
      if (!typed) await shell.moment?.(false);
      return output;
    },

    atTerminal(line) {
      return zx({
        ...settings(),
        stdio: ["inherit", "inherit", "inherit", state],
      })(verbatim(line));
    },

    runSync(line) {
      return zx.sync({
        ...settings(),
        cwd: "/",
        stdio: ["inherit", "pipe", "inherit", state],
      })(verbatim(line));
    },
  };

  async function* type(lines: string[]) {
    yield ["set -v", ...lines.slice(0, -1), ""].join("\n");
    await shell.moment?.(true);
    yield `${lines.at(-1)}\n`;
  }
  return shell;
}

/**
 * Runs one line by itself, in no directory of ours, while node waits.
 *
 * @returns zx's own answer, whether the line succeeded or not
 */
export function tryOut(line: string): ProcessOutput {
  // Called from within another line of zx's, it would be given the input of that one.
  const settings = {
    ...base(readersEnvironment()),
    prefix: "",
    input: undefined,
  };
  return zx.sync(settings)(verbatim(line));
}

/**
 * Runs one line by itself, with our own input and output.
 *
 * @param environment variables to set besides those that a line may inherit
 */
export function handOver(line: string, environment: NodeJS.ProcessEnv) {
  return zx({
    ...base({ ...readersEnvironment(), ...environment }),
    prefix: "",
    stdio: "inherit",
  })(verbatim(line));
}

/** What every line of ours is run with. */
function base(env: NodeJS.ProcessEnv): Partial<Options> {
  // zx takes its shell, prefix and postfix from ZX_* variables, so name each.
  return {
    shell: findProgram("bash"),
    postfix: "",
    env,
    quiet: true,
    nothrow: true,
  };
}

/** A line as zx's template, with nothing quoted and no backslash read. */
function verbatim(line: string): TemplateStringsArray {
  return Object.assign([line], { raw: [line] });
}

/** What bash wrote as it ended; a bash that was killed wrote nothing. */
function parseState(file: string): NodeJS.ProcessEnv {
  const entries = readFileSync(file, "utf8").split("\0").filter(Boolean);
  const pairs = entries.map((entry) => {
    const equals = entry.indexOf("=");
    return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
  });
  // A deeper SHLVL would be this runner's doing, not the reader's.
  return pairs.length ? { ...Object.fromEntries(pairs), SHLVL: "1" } : {};
}

/**
 * What a line may inherit. Everything else stays out: BASH_ENV, exported
 * functions, CDPATH, PS_FORMAT, LD_PRELOAD and their like would change what a
 * line does.
 */
const inherited =
  /^(HOME|USER|LOGNAME|TERM|NO_COLOR|FORCE_COLOR|LANG|LANGUAGE|LC_\w+|TZ|XDG_RUNTIME_DIR|DOCKER_HOST|CONTAINER_HOST)$/;

function readersEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) =>
    inherited.test(name),
  );
  return {
    ...Object.fromEntries(kept),
    PATH: searchPath().join(":"),
    // Below 2, a bash whose input is a socket (node's pipes are) reads ~/.bashrc.
    SHLVL: "1",
  };
}

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
  return [...new Set([...path, ...systemDirectories])];
}

function onlyRootWrites(directory: string): boolean {
  const stat = isAbsolute(directory) && look(directory);
  return stat && stat.uid === 0 && (stat.mode & 0o022) === 0;
}

/** The file that a line runs when it says `name`, or undefined if there is none. */
export function findProgram(name: string): string | undefined {
  return searchPath()
    .map((directory) => join(directory, name))
    .find((file) => {
      const stat = look(file);
      return stat && stat.isFile() && (stat.mode & 0o111) !== 0;
    });
}

/** A file's attributes, or false if it is not there or out of sight. */
function look(path: string) {
  try {
    return statSync(path);
  } catch {
    return false;
  }
}
