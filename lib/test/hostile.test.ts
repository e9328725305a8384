/**
 * Nothing that comes from outside changes which command a line runs.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { findProgram } from "../shell.ts";
import {
  cannotRun,
  chapter,
  file,
  leavesNothing,
  missingTools,
  mode,
  run,
  succeeds,
  temporary,
  tsx,
  typedLines,
} from "./testing.ts";

const path = "chapters/02-unshare.ts";
/** The lines that the chapter shows; and what it shows at column 0 and is a line of it. */
const lines = cannotRun ? [] : typedLines((await run(chapter(path, "--print"))).stdout);
const shownBy = (stdout: string) =>
  stripVTControlCharacters(stdout)
    .split("\n")
    .filter((line) => lines.includes(line));
const usual = cannotRun ? [] : shownBy((await run(chapter(path, "--yes"))).stdout);

/** Asserts that the chapter was told to its end, and that its lines were the usual ones. */
function assertUsual(told: Awaited<ReturnType<typeof run>>) {
  assert.equal(told.status, 0, told.stdout + told.stderr);
  assert.deepEqual(shownBy(told.stdout), usual);
}

// ── The environment

/** Texts that are commands to whoever does not quote them. */
const injections: ((command: string) => string)[] = [
  (command) => `$(${command})`,
  (command) => `\`${command}\``,
  (command) => `; ${command};`,
  (command) => `'; ${command}; '`,
  (command) => `"; ${command}; "`,
  (command) => `x\n${command}\n`,
  (command) => `() { :; }; ${command}`,
  (command) => `x=y[$(${command})]`,
];

/** Variables that get each of these texts. */
const injected = `BASH_ENV COLUMNS DOCKER_HOST ENV FORCE_COLOR HOME IFS LANG LANGUAGE LC_ALL LINES
  LOGNAME NO_COLOR OLDPWD PID PROMPT_COMMAND PS1 PS4 PWD SHELL STARTED SUDO_ASKPASS SUDO_PROMPT
  TERM TZ USER WORK XDG_RUNTIME_DIR ZX_POSTFIX ZX_PREFIX`.split(/\s+/);

/** Functions that bash would take over from its environment. */
const functions =
  `cd echo env exec export hostname ls mktemp set sudo trap type unshare xargs`.split(" ");

/** Programs that lines, the clean-up or the probes start. */
const programs = `basename bash cat chmod cp env find grep hostname ip kill ldd ls mkdir mktemp
  mount ps rm setpriv sudo tee true umount unshare xargs`.split(/\s+/);

/**
 * Hostile values, by variable. A run of the chapter has one of each; where
 * there are fewer than runs, they come again.
 *
 * @param trap a directory: each value that is obeyed makes a file in it
 */
function hostile(trap: string): Record<string, string[]> {
  const touch = (name: string) => `touch ${trap}/${name}`;
  const script = join(trap, "..", "script");
  writeFileSync(script, `${touch("script")}\n`, { mode: 0o755 });
  const bin = fakes(join(trap, "..", "bin"), trap);
  chmodSync(bin, 0o777);
  const theirs = fakes(join(trap, "..", "theirs"), trap);
  // Root trusts root's directories, others trust root's alone.
  if (mode === "root") chownSync(theirs, 65534, 65534);
  const home = join(trap, "..", "home");
  mkdirSync(home);
  for (const name of ["bashrc", "bash_profile", "bash_aliases", "profile", "inputrc"])
    writeFileSync(
      join(home, `.${name}`),
      `alias ls='${touch(name)}' sudo='${touch(name)}'; ${touch(name)}\n`,
    );
  const libraries = join(trap, "..", "lib");
  mkdirSync(libraries);
  for (const name of ["libselinux.so.1", "libtinfo.so.6", "libmount.so.1"])
    writeFileSync(join(libraries, name), "not a library");

  const system = process.env.PATH ?? "";
  return {
    ...Object.fromEntries(
      injected.map((name) => [
        name,
        injections.map((inject, index) => inject(touch(`${name}-${index}`))),
      ]),
    ),
    ...Object.fromEntries(
      functions.map((name) => [`BASH_FUNC_${name}%%`, [`() { ${touch(`function-${name}`)}; }`]]),
    ),
    BASH_ENV: [script, ...injections.map((inject) => inject(script))],
    ENV: [script],
    HOME: [home, ...injections.map((inject) => inject(touch("HOME"))), "", "/nonexistent", "."],
    // The run's directory is the parent of that bin.
    PATH: [
      `${bin}:${system}`,
      `${theirs}:${system}`,
      `bin:${system}`,
      `./bin:${system}`,
      `:${system}`,
      `.:${system}`,
      `${system}:`,
      `/../..${bin}:${system}`,
      `$(${touch("PATH")}):${system}`,
      bin,
      "",
    ],
    SHELL: [join(bin, "bash")],
    SHELLOPTS: ["xtrace", "noexec", "errexit:nounset", "noclobber:noglob"],
    BASHOPTS: ["failglob", "expand_aliases:extdebug", "nocasematch:nullglob"],
    BASH_XTRACEFD: ["1", "3"],
    BASH_COMPAT: ["3.1"],
    CDPATH: [trap, "/", ".:/tmp"],
    GLOBIGNORE: ["*"],
    EXECIGNORE: ["*"],
    FIGNORE: ["*"],
    TMOUT: ["1"],
    HISTFILE: [join(trap, "history")],
    POSIXLY_CORRECT: ["1", ""],
    PS_FORMAT: ["comm", "nonsense"],
    PS_PERSONALITY: ["bsd", "nonsense"],
    COLUMNS: ["0", "-1", "1", "99999999999999999999", "1e9"],
    TERM: ["dumb", "", "../../../etc/passwd", "xterm", "nonsense"],
    LANG: ["C", "", "tr_TR.UTF-8", "xx_YY.UTF-8", "../../../../tmp"],
    LC_ALL: ["", "C", "POSIX", "C.UTF-8", "xx_YY", "../../../../tmp"],
    LC_NONSENSE: ["nonsense"],
    TZ: ["", ":/etc/passwd", "UTC-99:99"],
    NO_COLOR: ["", "1"],
    FORCE_COLOR: ["0", "3", "nonsense"],
    LD_PRELOAD: [join(libraries, "none.so"), ""],
    LD_LIBRARY_PATH: [libraries],
    TAR_OPTIONS: [`--checkpoint=1 --checkpoint-action=exec=${script}`],
    GREP_OPTIONS: ["--invert-match"],
    GREP_COLORS: ["mt=01;31"],
    LS_COLORS: ["di=01;31", "nonsense"],
    QUOTING_STYLE: ["c", "shell-always"],
    TIME_STYLE: ["+%s", "nonsense"],
    BLOCK_SIZE: ["human-readable", "nonsense"],
    LIBMOUNT_DEBUG: ["all"],
    LIBMOUNT_FSTAB: ["/dev/null"],
    LIBMOUNT_MTAB: ["/dev/null"],
    MALLOC_PERTURB_: ["1"],
    GCONV_PATH: [libraries],
    LOCPATH: [libraries],
    NLSPATH: [`${libraries}/%N`],
    TERMINFO: [libraries],
    SUDO_ASKPASS: [script],
    SUDO_EDITOR: [script],
    SUDO_UID: ["0"],
    ZX_SHELL: [join(bin, "bash")],
    ZX_CWD: ["/", "/nonexistent"],
    ZX_PREFER_LOCAL: [bin, "true"],
    ZX_TIMEOUT: ["1ms"],
    ZX_DETACHED: ["true"],
    ZX_INPUT: [touch("ZX_INPUT")],
    ZX_NOTHROW: ["true"],
    ZX_VERBOSE: ["true"],
    ZX_QUOTE: ["nonsense"],
  };
}

/** Makes programs of a chapter's that spring the trap and then do their work. */
function fakes(directory: string, trap: string): string {
  mkdirSync(directory);
  for (const name of programs)
    writeFileSync(
      join(directory, name),
      `#!/bin/sh\ntouch '${trap}/fake-${name}'\nexec '${findProgram(name)}' "$@"\n`,
      { mode: 0o755 },
    );
  return directory;
}

/** Paths that are commands, options or patterns to whoever does not quote them. */
const directories = [
  "a\nb",
  "a b",
  "--help",
  "-rf",
  "*",
  "[a-z]",
  "{a,b}",
  "~",
  "%s%n",
  "back\\slash",
  "a'b\"c",
  "a:b,c=d",
  "\x1b[2J\x07",
  "é",
];

test(
  "a chapter does what it always does when its environment is hostile",
  { skip: cannotRun, concurrency: 4 },
  async (t) => {
    let values = 0;
    await leavesNothing(async () => {
      const trap = temporary("trap");
      chmodSync(trap, 0o777);
      const place = dirname(trap);
      chmodSync(place, 0o755);
      const variables = hostile(trap);
      const tmps = [...directories, ...injections.map((inject) => inject(`touch ${trap}/TMPDIR`))];
      const runs = Math.max(...Object.values(variables).map((list) => list.length), tmps.length);
      values = Object.values(variables).flat().length + tmps.length;
      const tests = Array.from({ length: runs }, (_, index) => {
        const env = Object.fromEntries(
          Object.entries(variables).map(([name, list]) => [name, list[index % list.length]!]),
        );
        const name = tmps[index % tmps.length]!;
        return t.test(`${index + 1} of ${runs}: TMPDIR=${JSON.stringify(name)}`, async () => {
          const outer = temporary();
          const tmp = join(outer, name);
          mkdirSync(tmp, { recursive: true });
          try {
            assertUsual(await run(chapter(path, "--yes"), { env, tmp, cwd: place }));
            assert.ok(!existsSync(tmp));
          } finally {
            rmSync(dirname(outer), { recursive: true });
          }
          assert.deepEqual(readdirSync(trap), []);
        });
      });
      await Promise.all(tests);
      rmSync(place, { recursive: true });
    });
    console.log(`${values} hostile values, and none was obeyed`);
  },
);

test(
  "a line finds its programs where they were when a link in PATH is turned round",
  { skip: cannotRun },
  () =>
    leavesNothing(async () => {
      const trap = temporary("trap");
      chmodSync(trap, 0o777);
      const place = dirname(trap);
      const bin = fakes(join(place, "bin"), trap);
      symlinkSync(dirname(findProgram("bash")!), join(place, "link"));
      symlinkSync(bin, join(place, "other"));
      const told = await run(chapter(path, "--yes"), {
        env: { PATH: `${join(place, "link")}:${process.env.PATH}` },
        once: {
          prints: /^WORK=/m,
          then: () => renameSync(join(place, "other"), join(place, "link")),
        },
      });
      assertUsual(told);
      assert.deepEqual(readdirSync(trap), []);
      rmSync(place, { recursive: true });
    }),
);

// ── Flags

test(
  "a chapter refuses a flag's value that is a command, and runs none",
  { skip: cannotRun, concurrency: 4 },
  async (t) => {
    await leavesNothing(async () => {
      const trap = temporary("trap");
      const [substituted, backquoted, next, single, double, line] = injections.map(
        (inject, index) => inject(`touch ${trap}/${index}`),
      );
      const tests = [
        [next!],
        [`--${substituted}`],
        ["--rootfs", double!],
        ["--rootfs", `${single}.tar`],
        ["--rootfs", `docker:${substituted}`],
        ["--rootfs", `docker:--privileged`],
        ["--rootfs", `podman:x${next}`],
        ["--rootfs", `podman:x\n${line}`],
        ["--rootfs", `podman:${backquoted}`],
        ["--rootfs", ""],
      ].map((flags) =>
        t.test(JSON.stringify(flags), async () => {
          const { status, stdout } = await run(chapter(path, "--yes", ...flags));
          assert.equal(status, 2, stdout);
          assert.doesNotMatch(stdout, /^WORK=/m);
          assert.deepEqual(readdirSync(trap), []);
        }),
      );
      await Promise.all(tests);
      rmSync(dirname(trap), { recursive: true });
    });
  },
);

// ── What is printed

/** Names that move the cursor, retitle the window, or look like a line of the chapter's. */
const escapes = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\nsudo rm -rf ~\n";

/** Asserts that a screen has these names on it, and that they do nothing there. */
function assertHarmless(stdout: string) {
  assert.match(stdout, /owned/);
  assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  assert.doesNotMatch(stdout, /^sudo rm/m);
}

/** The directories of ours in a TMPDIR, and those that a chapter made in them. */
function directoriesIn(tmp: string): string[] {
  const own = (name: string) => /^by-hand\./.test(name);
  const outer = readdirSync(tmp)
    .filter(own)
    .map((name) => join(tmp, name));
  return outer.flatMap((directory) => [directory, ...directoriesIn(directory)]);
}

test(
  "a chapter prints a file's name harmlessly when it holds escape sequences",
  { skip: cannotRun },
  async () => {
    const tmp = temporary();
    const { status, stdout } = await leavesNothing(() =>
      run(chapter("chapters/01-chroot.ts", "--yes"), {
        tmp,
        env: { NO_COLOR: "1" },
        once: {
          prints: /^ldd \/bin\/bash$/m,
          then: () => {
            const work = directoriesIn(tmp).at(-1)!;
            writeFileSync(join(work, "rootfs", escapes), "");
          },
        },
      }),
    );
    assert.equal(status, 0);
    assertHarmless(stdout);
  },
);

test(
  "recovery prints paths and command lines harmlessly when they hold escape sequences",
  { skip: cannotRun },
  () =>
    leavesNothing(async () => {
      const outer = temporary();
      const tmp = join(outer, escapes);
      const space = readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
      const left = join(tmp, `by-hand.${space}.${2 ** 30}.1.abcdef`);
      mkdirSync(left, { recursive: true });
      const sleeper = spawn("sleep", ["1d"], { argv0: escapes, cwd: left });
      const ended = once(sleeper, "exit");
      try {
        const { status, stdout } = await run(chapter(path, "--yes"), {
          ...{ tmp, env: { NO_COLOR: "1" } },
        });
        await ended;
        assert.equal(status, 0);
        assert.match(stdout, /^It is cleared\.$/m);
        assertHarmless(stdout);
      } finally {
        rmSync(dirname(outer), { recursive: true });
      }
    }),
);

test("a refusal prints a path harmlessly when it holds escape sequences", async () => {
  // A complaint may have several lines.
  const archive = `/nowhere/${escapes.replaceAll("\n", "")}.tar`;
  const command = chapter(path, "--yes", "--rootfs", archive);
  const { status, stderr } = await run(command, { env: { NO_COLOR: "1" } });
  assert.equal(status, 2);
  assertHarmless(stderr);
});

// ── What others can see

test(
  "directories are their user's alone, files too, and their names are new each time",
  { skip: cannotRun },
  async () => {
    const modes = new Map<string, number>();
    const look = (path: string) => modes.set(path, statSync(path).mode & 0o7777);
    for (const umask of ["000", "022"]) {
      const tmp = temporary();
      const command = ["sh", "-c", `umask ${umask}; exec "$@"`, "-"];
      const { status } = await leavesNothing(() =>
        run([...command, ...chapter(path, "--yes")], {
          tmp,
          once: {
            prints: /^mkdir /m,
            then: () => {
              for (const directory of directoriesIn(tmp)) {
                look(directory);
                for (const entry of readdirSync(directory, {
                  withFileTypes: true,
                }))
                  if (entry.isFile()) look(join(directory, entry.name));
              }
            },
          },
        }),
      );
      assert.equal(status, 0);
    }
    const names = [...modes.keys()].map((each) => basename(each));
    assert.ok(names.includes("state"));
    for (const [each, mode] of modes) {
      const expected = basename(each).startsWith("by-hand.") ? 0o700 : 0o600;
      assert.equal(mode.toString(8), expected.toString(8), each);
    }
    const made = names.filter((name) => name.startsWith("by-hand."));
    assert.equal(new Set(made).size, made.length);
    for (const name of made) assert.match(name, /\.\w{6}$/);
  },
);

// ── What sudo gets

/** A command run by someone whose sudo asks nothing; sudo's log comes after what it printed. */
function withSudo(settings: string, tmp: string, command: string[]): string[] {
  // The path as an argument: TMPDIR does not get through sudo.
  const script = `
    export TMPDIR=$1; shift
    reader=\${SUDO_UID:-65534}
    mount -t tmpfs -o mode=755 none /etc/sudoers.d
    echo "#$reader ALL=(ALL) NOPASSWD: ALL
    Defaults ${settings}
    Defaults logfile=/etc/sudoers.d/log.txt, loglinelen=0, !syslog" > /etc/sudoers.d/test
    chmod 440 /etc/sudoers.d/test
    chown "$reader" "$TMPDIR"
    setpriv --reuid="$reader" --regid="$reader" --clear-groups "$@" || status=$?
    if [ -e /etc/sudoers.d/log.txt ]; then sed 's/^/logged: /' /etc/sudoers.d/log.txt; fi
    exit $status`;
  const asRoot = mode === "sudo" ? ["sudo", "-n", "--preserve-env=TMPDIR"] : [];
  return [...asRoot, "unshare", "--mount", "bash", "-ec", script, "-", tmp, ...command];
}

const noSudo =
  (mode === "rootless" && "needs root, or a sudo that asks nothing") ||
  cannotRun ||
  missingTools("sudo") ||
  (mode === "root" &&
    !succeeds("setpriv", "--reuid=65534", "--clear-groups", "test", "-r", file(path)) &&
    "the reader who uses sudo cannot read this checkout");

/** What sudo is asked for besides the lines that are shown: probes, then the clean-up. */
const unshown = [
  /^true$/,
  /^unshare --mount --uts --ipc --net --pid --fork --mount-proc true$/,
  /^unshare --mount mount -t overlay overlay -o lowerdir=try\S+ try\/merged$/,
  /^rm -rf --one-file-system try$/,
  /^find \/proc /,
  /^kill -9 [\d ]+$/,
  /^umount (--lazy )? *\/\S+\/by-hand\.\S+$/,
  /^rm -rf --one-file-system \/\S+\/by-hand\.[\d.]+\w{6}$/,
];

/** Matches what sudo logs when it gets the command of a line. */
function loggedFor(line: string): RegExp {
  const command = /\bsudo (.*?)( &?>.*)?$/.exec(line)![1]!;
  const quoted = command.replace(/[^\w "$]/g, "\\$&");
  const filled = quoted
    .replace(/"?\$WORK"?/, "/\\S+/by-hand\\.\\w{6}")
    .replace(/"?\$\w+"?/, "\\d+");
  return new RegExp(`^${filled}$`);
}

test(
  "sudo gets the commands of the lines that are shown, and no others but probes and clean-up",
  { skip: noSudo, concurrency: 4 },
  async (t) => {
    await leavesNothing(async () => {
      const names = ["01-chroot", "02-unshare", "03-nsenter", "04-overlay"];
      const tests = names.map((name) =>
        t.test(name, async () => {
          const path = file(`chapters/${name}.ts`);
          const { stdout: script } = await run(tsx(path, "--print"));
          const shown = typedLines(script)
            .filter((line) => /\bsudo /.test(line))
            .map(loggedFor);
          const tmp = temporary();
          const command = withSudo("env_reset", tmp, tsx(path, "--yes"));
          const { status, stdout } = await run(command, { tmp });
          assert.equal(status, 0, stdout);
          const entries = stdout.match(/^logged: .*$/gm) ?? [];
          const commands = entries.map(
            (entry) => / ; COMMAND=\/\S*?([^/ ]+( .*)?)$/.exec(entry)?.[1] ?? entry,
          );
          for (const entry of entries) assert.doesNotMatch(entry, / ; ENV=/);
          for (const command of commands)
            if (shown[0]?.test(command)) shown.shift();
            else
              assert.ok(
                unshown.some((pattern) => pattern.test(command)),
                command,
              );
          assert.deepEqual(shown, []);
        }),
      );
      await Promise.all(tests);
    });
  },
);

test("a chapter refuses --yes when sudo wants a terminal", { skip: noSudo }, async () => {
  const tmp = temporary();
  const command = withSudo("requiretty", tmp, tsx(file(path), "--yes"));
  const { status, stderr } = await leavesNothing(() => run(command, { tmp }));
  assert.equal(status, 2);
  assert.match(stderr, /with --yes nobody answers sudo, which says: .*\btty\b/);
  assert.match(stderr, /leave out --yes/);
});
