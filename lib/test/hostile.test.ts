/**
 * Nothing that comes from outside changes which command a line runs.
 *
 * `npm test` tells a chapter once, with one hostile value of each kind; BY_HAND_ALL goes on until
 * every value had its turn.
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { findProgram } from "../shell.ts";
import {
  cannotRun,
  chapter,
  injections,
  inShort,
  leavesNothing,
  mode,
  numbered,
  run,
  temporary,
  tsx,
  typedLines,
} from "./testing.ts";

const path = numbered("02");
/** The lines that the chapter shows; and what it shows at column 0 and is a line of it. */
const lines = cannotRun ? [] : typedLines((await run(tsx(path, "--print"))).stdout);
const shownBy = (stdout: string) =>
  stripVTControlCharacters(stdout)
    .split("\n")
    .filter((line) => lines.includes(line));
const usual = cannotRun ? [] : shownBy((await run(chapter(path, "--yes"))).stdout);

/** Asserts that the chapter was told to its end, and that its lines were the usual ones. */
function assertUsual(told: Awaited<ReturnType<typeof run>>) {
  assert.equal(told.status, 0, inShort(told));
  assert.deepEqual(shownBy(told.stdout), usual);
}

// ── The environment

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
    const values = new Set<string>();
    await leavesNothing(async () => {
      const trap = temporary("trap");
      chmodSync(trap, 0o777);
      const place = dirname(trap);
      chmodSync(place, 0o755);
      const variables = hostile(trap);
      const tmps = [...directories, ...injections.map((inject) => inject(`touch ${trap}/TMPDIR`))];
      const runs = Math.max(...Object.values(variables).map((list) => list.length), tmps.length);
      const taken = process.env.BY_HAND_ALL ? runs : 1;
      const tests = Array.from({ length: taken }, (_, index) => {
        const env = Object.fromEntries(
          Object.entries(variables).map(([name, list]) => [name, list[index % list.length]!]),
        );
        const name = tmps[index % tmps.length]!;
        for (const [variable, value] of Object.entries({ ...env, TMPDIR: name }))
          values.add(`${variable}=${value}`);
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
    console.log(`${values.size} hostile values, and none was obeyed`);
  },
);

test(
  "a line finds its programs where they were when a link in PATH is turned round",
  { skip: cannotRun || (!process.env.BY_HAND_ALL && "takes BY_HAND_ALL") },
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
