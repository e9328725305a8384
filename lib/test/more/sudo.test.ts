/**
 * Sudo: which commands it gets, and a chapter whose reader must give a password.
 */
import assert from "node:assert/strict";
import { chownSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, test } from "node:test";
import {
  agreeUntil,
  agree,
  atTerminal,
  bash,
  cannotRun,
  chapters,
  fixture,
  keys,
  leavesNothing,
  missingTools,
  mode,
  refused,
  run,
  succeeds,
  temporary,
  toldToItsEnd,
  tsx,
  typedLines,
  whyNots,
} from "../testing.ts";

const path = fixture("walk");

// ── What sudo gets

/** A command run by someone whose sudo asks nothing; sudo's log comes after what it printed. */
function withSudo(settings: string, tmp: string, command: string[]): string[] {
  // The path as an argument: TMPDIR does not get through sudo.
  const script = `
    export TMPDIR=$1; shift
    # Not nobody: chapter 8 tells that number from the reader's.
    reader=\${SUDO_UID:-$(id -u daemon)}
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
  return [...asRoot, "unshare", "--mount", ...bash, "-ec", script, "-", tmp, ...command];
}

const noSudo =
  (mode === "rootless" && "needs root, or a sudo that asks nothing") ||
  cannotRun ||
  missingTools("sudo") ||
  (mode === "root" &&
    !succeeds("setpriv", "--reuid=65534", "--clear-groups", "test", "-r", path) &&
    "the reader who uses sudo cannot read this checkout");

/** What sudo is asked for besides the lines that are shown: probes, then the clean-up. */
const unshown = [
  /^true$/,
  /^unshare --mount --uts --ipc --net --pid --fork --mount-proc true$/,
  /^unshare --mount mount -t overlay overlay -o lowerdir=try\S+ try\/merged$/,
  /^rm -rf --one-file-system try$/,
  /^unshare --net bash -c 'set -e#012ip link set lo up; ping /,
  /^unshare --net sh -c 'ip link add one /,
  /^perl -e '\$prctl = /,
  /^setpriv --bounding-set=-sys_admin --inh-caps=-all bash -c 'unshare --mount true /,
  /^unshare --mount --net --pid --fork --mount-proc bash -c 'mount -t sysfs sysfs \/sys /,
  /^chown 165535:165535 try$/,
  /^rm -f try$/,
  /^bash -c 'trap "" INT QUIT HUP TERM; cd \/sys\/fs\/cgroup; /,
  /^timeout 9 sh -c 'test ! -d \/sys\/fs\/cgroup\/by-hand\.\w{6} /,
  /^tee \/sys\/fs\/cgroup\/cgroup\.subtree_control$/,
  /^find \/proc /,
  /^kill -9 [\d ]+$/,
  /^umount (--lazy )? *\/\S+\/by-hand\.\S+$/,
  /^rm -rf --one-file-system \/\S+\/by-hand\.[\d.]+\w{6}$/,
];

/** Match what sudo logs when it gets the commands of a line: their words, with whatever fills the gaps. */
function loggedFor(line: string): RegExp[] {
  return line
    .split(/\bsudo /)
    .slice(1)
    .map(loggedForOne);
}

function loggedForOne(rest: string): RegExp {
  // As far as to what is the shell's own, outside of quotes.
  const [command] = /^('[^']*'|"[^"]*"|[^'";|&])*/.exec(rest)!;
  const words = command.replace(/\$\([^)]*\)|\$[\w!]+|["'(){}$,]/g, " ").match(/\S+/g) ?? [];
  return new RegExp(`^${words.map((word) => word.replace(/\W/g, "\\$&")).join(".*")}`);
}

test(
  "sudo gets the commands of the lines that are shown, and no others but probes and clean-up",
  { skip: noSudo, concurrency: 4 },
  async (t) => {
    await leavesNothing(async () => {
      const why = await whyNots();
      const tests = chapters.map((path) =>
        t.test(basename(path), { skip: why.get(path) }, async () => {
          const { stdout: script } = await run(tsx(path, "--print"));
          const shown = typedLines(script)
            .filter((line) => /\bsudo /.test(line))
            .flatMap(loggedFor);
          const tmp = temporary();
          const command = withSudo("env_reset", tmp, tsx(path, "--yes"));
          const { stdout } = toldToItsEnd(await run(command, { tmp }));
          const entries = stdout.match(/^logged: .*$/gm) ?? [];
          const commands = entries.map(
            (entry) => / ; COMMAND=(?:\/\S*?)?((?:\.\/)?[^/ ]+( .*)?)$/.exec(entry)?.[1] ?? entry,
          );
          for (const entry of entries) assert.doesNotMatch(entry, / ; ENV=/);
          // A line's loop has its command more than once.
          let last: RegExp | undefined;
          for (const command of commands)
            if (shown[0]?.test(command)) last = shown.shift();
            else if (!last?.test(command))
              assert.ok(
                unshown.some((pattern) => pattern.test(command)),
                `${command}, and not ${shown[0]}`,
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
  const command = withSudo("requiretty", tmp, tsx(path, "--yes"));
  const stderr = refused(await leavesNothing(() => run(command, { tmp })));
  assert.match(stderr, /with --yes nobody answers sudo, which says: .*\btty\b/);
  assert.match(stderr, /leave out --yes/);
});

// ── A sudo that wants a password

/** A user whose password, for login and for sudo, is `secret`. */
const user = "bhpass";
const asReader = [
  "setpriv",
  `--reuid=${user}`,
  `--regid=${user}`,
  "--init-groups",
  "env",
  `USER=${user}`,
  "HOME=/nonexistent",
];
const noReader =
  cannotRun ||
  (mode !== "root" && `only root can be ${user}`) ||
  (!succeeds("id", user) && `no user ${user}: .ci/run makes it`) ||
  (!succeeds(...(asReader as [string]), "test", "-r", path) && `${user} cannot read this checkout`);

/** A TMPDIR that is the reader's. */
function readersTemporary(): string {
  const tmp = temporary();
  const [, , uid, gid] =
    new RegExp(`^${user}:(.*):(\\d+):(\\d+):`, "m").exec(readFileSync("/etc/passwd", "utf8")) ?? [];
  chownSync(tmp, Number(uid), Number(gid));
  return tmp;
}

describe("chapter() as a user whose sudo wants a password", { skip: noReader }, () => {
  const command = [...asReader, ...tsx(path)];
  const asked = new RegExp(`password for ${user}: $`);

  test("refuses --yes, for nobody answers", async () => {
    const told = await run([...command, "--yes"], { tmp: readersTemporary() });
    const why = refused(told);
    assert.match(why, /\bsudo\b/);
    assert.match(why, /password/);
  });

  test("goes on when it is the right one", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(command, { tmp: readersTemporary() }, async (reader) => {
        await agreeUntil(reader, /sudo mount/);
        reader.types(keys.enter);
        await reader.sees(asked);
        reader.types("secret\r");
        await agree(reader);
      }),
    );
    assert.equal(status, 0);
  });

  test("stops when it is wrong three times", async () => {
    const { status, output } = await leavesNothing(() =>
      atTerminal(command, { tmp: readersTemporary() }, async (reader) => {
        await agreeUntil(reader, /sudo mount/);
        reader.types(keys.enter);
        for (let time = 0; time < 3; time++) {
          await reader.sees(asked);
          reader.types("wrong\r");
        }
      }),
    );
    assert.equal(status, 1);
    assert.match(output, /sudo refused[^]*--rootless/);
  });

  test("stops at Ctrl-C in its place", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(command, { tmp: readersTemporary() }, async (reader) => {
        await agreeUntil(reader, /sudo mount/);
        reader.types(keys.enter);
        await reader.sees(asked);
        // sudo is not told of one that comes between its prompt and its waiting.
        const again = setInterval(() => reader.types(keys.ctrlC), 500);
        await reader.sees(/sudo refused|undone/).finally(() => clearInterval(again));
      }),
    );
    assert.ok(status === 1 || status === 130, `exit status ${status}`);
  });
});
