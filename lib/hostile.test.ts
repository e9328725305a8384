/**
 * Nothing that comes from outside changes which command a line runs, or slips
 * one in: not the environment, not a flag, not a file in the way.
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import {
  cannotRun,
  chapter,
  file,
  mode,
  run,
  succeeds,
  temporary,
  tidy,
  tsx,
} from "./testing.ts";

/** Where fake programs and start-up files lie, and the file that they make. */
const trap = temporary();
const canary = join(trap, "canary");
after(() => {
  rmSync(trap, { recursive: true });
  mkdirSync(trap);
  tidy(trap);
});

const touch = `touch ${canary}`;
const script = join(trap, "script");
writeFileSync(
  script,
  `${touch}\nalias ls='${touch}' sudo='${touch}'\nls() { ${touch}; }\n`,
);
for (const name of [".bashrc", ".bash_profile", ".profile", ".inputrc"])
  writeFileSync(join(trap, name), `${touch}\n`);
// Others may write to it: such a directory is nobody's to find a program in.
const bin = join(trap, "bin");
mkdirSync(bin);
chmodSync(bin, 0o777);
const fakes = [
  "ls",
  "sudo",
  "mount",
  "umount",
  "bash",
  "sh",
  "unshare",
  "find",
  "kill",
  "rm",
  "mkdir",
  "mktemp",
  "grep",
  "basename",
  "env",
  "setpriv",
];
for (const name of fakes) {
  writeFileSync(join(bin, name), `#!/bin/sh\n${touch}\n`);
  chmodSync(join(bin, name), 0o755);
}

const { PATH = "" } = process.env;
const functions = [
  "ls",
  "sudo",
  "cd",
  "trap",
  "export",
  "exit",
  "mktemp",
  "echo",
];
const injections = [
  `$(${touch})`,
  `\`${touch}\``,
  `; ${touch} ;`,
  `'; ${touch}; '`,
  `"; ${touch}; "`,
  `\n${touch}\n`,
  `| ${touch}`,
  `() { :; }; ${touch}`,
];

const hostile: [name: string, value: string][] = [
  ["PATH", `${bin}:${PATH}`],
  ["PATH", `.:${PATH}`],
  ["PATH", `:${PATH}`],
  ["PATH", `bin:${PATH}`],
  ["PATH", `${trap}/missing/../bin:${PATH}`],
  ["PATH", `$(${touch}):${PATH}`],
  ["HOME", trap],
  ["BASH_ENV", script],
  ["BASH_ENV", `$(${touch})`],
  ["ENV", script],
  ["SHELLOPTS", "xtrace:noexec:errexit"],
  ["BASHOPTS", "expand_aliases:failglob"],
  ["PS4", `$(${touch})`],
  ["PS1", `$(${touch})`],
  ["PROMPT_COMMAND", touch],
  ["CDPATH", trap],
  ["GLOBIGNORE", "*"],
  ["IFS", "aeiou/"],
  ["POSIXLY_CORRECT", "1"],
  ["BASH_COMPAT", "3.2"],
  ["BASH_XTRACEFD", "1"],
  ["LD_LIBRARY_PATH", bin],
  ["PS_FORMAT", "user"],
  ["LS_COLORS", `$(${touch})`],
  ["QUOTING_STYLE", "c"],
  ["BLOCK_SIZE", "human"],
  ["TAR_OPTIONS", `--checkpoint=1 --checkpoint-action=exec=${script}`],
  ["GREP_OPTIONS", "--invert-match"],
  ["SUDO_ASKPASS", script],
  ["SUDO_EDITOR", script],
  ["ZX_SHELL", join(bin, "bash")],
  ["ZX_PREFIX", `${touch};`],
  ["ZX_POSTFIX", `; ${touch}`],
  ["ZX_VERBOSE", "true"],
  ["ZX_CWD", "/"],
  ["COLUMNS", "1"],
  ["HISTFILE", join(trap, "history")],
  ["SHELL", join(bin, "bash")],
  ["PWD", bin],
  ["OLDPWD", bin],
  ["WORK", trap],
  ["XDG_RUNTIME_DIR", trap],
  ...functions.map((name): [string, string] => [
    `BASH_FUNC_${name}%%`,
    `() { ${touch}; }`,
  ]),
  ...[
    "USER",
    "LOGNAME",
    "TERM",
    "LANGUAGE",
    "TZ",
    "NO_COLOR",
    "DOCKER_HOST",
  ].flatMap((name) =>
    injections.slice(0, 4).map((value): [string, string] => [name, value]),
  ),
];

const plain = (env: NodeJS.ProcessEnv) =>
  run(chapter("lib/fixtures/plain.ts", "--yes"), { env, cwd: bin });

/** What must not differ: all that is printed but colours. */
let expected = "";

describe("a chapter does the same", { skip: cannotRun, concurrency: 4 }, () => {
  test("whatever the table below says: it has at least fifty values", async () => {
    assert.ok(hostile.length >= 50);
    assert.ok(succeeds("bash", "-c", `. ${script}`) && existsSync(canary));
    rmSync(canary);
  });

  for (const [name, value] of hostile)
    test(`when ${name} is ${JSON.stringify(value.replaceAll(trap, "…").replace(PATH, "PATH"))}`, async () => {
      expected ||= (await plain({})).stdout;
      const { status, stdout } = await plain({ [name]: value });
      assert.equal(status, 0);
      assert.equal(stdout, expected);
      assert.ok(!existsSync(canary), "a command was slipped in");
    });

  for (const name of injections)
    test(`when TMPDIR is named ${JSON.stringify(name.replaceAll(trap, "…"))}`, async () => {
      const tmp = temporary(name.replaceAll("/", "_"));
      const { status } = await run(chapter("lib/fixtures/plain.ts", "--yes"), {
        tmp,
        cwd: bin,
      });
      assert.equal(status, 0);
      assert.ok(!existsSync(canary));
    });
});

describe("a flag's value is no command", () => {
  for (const value of injections)
    for (const flags of [
      ["--rootfs", value],
      ["--rootfs", `docker:${value}`],
      ["--rootfs", `${value}.tar`],
      ["--container", value],
      [value],
    ])
      test(JSON.stringify(flags).replaceAll(trap, "…"), async () => {
        const { status, stdout } = await run(
          tsx(file("chapters/03-nsenter.ts"), "--yes", ...flags),
        );
        assert.equal(status, 2);
        assert.doesNotMatch(stdout, /^WORK=/m);
        assert.ok(!existsSync(canary));
      });
});

describe("what a line prints", { skip: cannotRun }, () => {
  test("has no control characters left on the reader's screen", async () => {
    const { stdout } = await plain({});
    assert.match(stdout, /^ {2}red \?\[31m \? \?\]0;title\?$/m);
    assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f]/);
  });

  test("shows that the directory is the reader's alone, and the state file too", async () => {
    assert.match((await plain({})).stdout, /^ {2}700\n {2}600$/m);
  });
});

const drop = "/etc/sudoers.d/by-hand-test";
const noLog =
  mode !== "root" ||
  !succeeds("runuser", "-u", "bhsudo", "--", "test", "-r", file("package.json"))
    ? "needs root, and a user bhsudo, whom .ci/run makes, that can read the checkout"
    : false;

describe("sudo", { skip: cannotRun || noLog }, () => {
  test("gets what is displayed, and what looks and clears up", async () => {
    const log = join(trap, "sudo.log");
    writeFileSync(
      drop,
      `Defaults:bhsudo logfile=${log}, !syslog, loglinelen=0\n`,
      { mode: 0o440 },
    );
    try {
      for (const name of [
        "01-chroot",
        "02-unshare",
        "03-nsenter",
        "04-overlay",
      ]) {
        rmSync(log, { force: true });
        const tmp = temporary();
        chmodSync(tmp, 0o1777);
        const { status, stdout } = await run(
          [
            "runuser",
            "-u",
            "bhsudo",
            "--",
            ...tsx(file(`chapters/${name}.ts`), "--yes"),
          ],
          { tmp },
        );
        assert.equal(status, 0);
        const displayed = [
          ...stdout.matchAll(/\bsudo (\S[^&]*?)(?: &.*)?$/gm),
        ].map(([, line = ""]) => line);
        const commands = [
          ...readFileSync(log, "utf8").matchAll(/COMMAND=\S*\/(.*)$/gm),
        ].map(([, command = ""]) => command);
        assert.ok(commands.length > 3);
        const others = commands.filter(
          (command) =>
            !displayed.some((line) => alike(line) === alike(command)),
        );
        for (const other of others)
          assert.match(
            other,
            /^(true|find \/proc .*|rm -rf --one-file-system \S+|unshare --mount --uts --ipc --net --pid --fork --mount-proc true|unshare --mount mount -t overlay .*)$/,
          );
      }
    } finally {
      rmSync(drop);
    }
  });
});

/** A command less what a shell makes of it: quotes, backslashes, and the values of variables. */
function alike(command: string): string {
  return command
    .replace(/["'\\]/g, "")
    .replace(/\$\w+/g, "VALUE")
    .replace(/(?<=--target |kill -9 |\/proc\/)\d+/g, "VALUE")
    .replace(/(?<=--one-file-system ).*/, "VALUE");
}
