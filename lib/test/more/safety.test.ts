/**
 * What a close reading found: nobody else is harmed, nothing hangs, and no diagnosis depends on how
 * the reader's machine is set up.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { clear } from "../../cleanup.ts";
import { readHeader } from "../../header.ts";
import { stat } from "../../kernel.ts";
import { findProgram, mark, openShell } from "../../shell.ts";
import {
  agree,
  agreeUntil,
  atTerminal,
  bash,
  cannotRun,
  chapter,
  checkout,
  environment,
  file,
  inShort,
  keys,
  leavesNothing,
  mapped,
  missingTools,
  mode,
  noOwnMounts,
  notRoot,
  prepared,
  question,
  refused,
  run,
  sudo,
  temporary,
  tidy,
  toldToItsEnd,
  tsx,
  until,
  walk,
} from "../testing.ts";

/**
 * The same as real root's; the command is run as the user again. What the tests set, such as TMPDIR,
 * does not get through sudo by itself.
 *
 * @param own flags for unshare, of more namespaces of its own than the mounts
 */
function afterAsRoot(setup: string, command: string[], env: NodeJS.ProcessEnv, ...own: string[]) {
  const back = 'setpriv --reuid="$SUDO_UID" --regid="$SUDO_GID" --init-groups';
  const set = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return [
    ...["sudo", "-n", "unshare", "--mount", ...own],
    ...[...bash, "-ec", `${setup}\nexec ${back} env "$@"`, "-", ...set, ...command],
  ];
}
/** A /proc of its own, whose options are nobody else's. */
const ownProc = ["--pid", "--fork", "--kill-child", "--mount-proc"];
const notSudo = mode !== "sudo" && "is about a user with sudo";

/** A chapter's printed lines that match, one after the other. */
async function linesOf(which: string, ...patterns: RegExp[]): Promise<string[]> {
  const { stdout } = await walk(which, "--print");
  return patterns.map((pattern) => {
    const line = stdout.split("\n").find((each) => pattern.test(each));
    assert.ok(line, `${pattern} is in no line of chapter ${which}`);
    return line;
  });
}

// ── Chapter 2, by hand

test(
  "the lesson about --fork holds where bash starts a program before its first prompt",
  { skip: cannotRun || noOwnMounts || (!existsSync("/etc/bash.bashrc") && "no /etc/bash.bashrc") },
  () =>
    leavesNothing(async () => {
      const tmp = temporary();
      const place = temporary("rc");
      const rc = join(place, "bashrc");
      writeFileSync(rc, "WHO=$(id)\n");
      const command = prepared(`mount --bind ${rc} /etc/bash.bashrc`, chapter("02"));
      const { output } = await atTerminal(command, { tmp }, async (reader) => {
        const { sees, types } = reader;
        await agreeUntil(reader, /^sudo unshare --pid bash/m);
        types(keys.down + keys.enter);
        await sees(/[#$] $/);
        types("ls -d /\r");
        await sees(/ls -d \/\s+\/\s/);
        await sees(/[#$] $/);
        types("ls -d /\r");
        await sees(/fork: Cannot allocate memory/);
        types("exit\r");
        await agree(reader);
      });
      assert.match(output, /^Told to the end/m);
      rmSync(dirname(place), { recursive: true });
    }),
);

test("every line that opens a bash as the first of a pid namespace keeps it from its start-up files", async () => {
  const paths = readdirSync(file("chapters")).filter((name) => name.endsWith(".ts"));
  let seen = 0;
  for (const name of paths)
    for (const flags of [[], ["--challenge"]]) {
      const { stdout } = await run(tsx(file(`chapters/${name}`), "--print", ...flags));
      for (const line of stdout.match(/^sudo unshare .*--pid .*$/gm) ?? []) {
        if (/--fork/.test(line)) continue;
        seen++;
        assert.match(line, /\bbash --norc\b/, `${name}: ${line}`);
      }
    }
  assert.ok(seen >= 2);
});

// ── Chapter 3: the process inside

describe("chapter 3 finds the process inside", { skip: cannotRun }, () => {
  test("or says why there is none, in seconds", { skip: notRoot }, () =>
    leavesNothing(async () => {
      const lines = await linesOf("03", /^STARTED=/, /^PID=/);
      const script = lines.join("\n").replace("--root rootfs", "--root no-such-root");
      const began = Date.now();
      const no = mode === "root" ? 'sudo() { "$@"; }; ' : "";
      const cwd = temporary();
      const told = await run(["bash", "-c", no + script], { cwd, tmp: cwd });
      assert.notEqual(told.status, 0);
      assert.match(told.stdout, /no-such-root/, inShort(told));
      assert.ok(Date.now() - began < 40_000);
      rmSync(dirname(cwd), { recursive: true, force: true });
    }),
  );

  test("or fails at once when sudo refuses", async () => {
    const lines = await linesOf("03", /^STARTED=/);
    const script = `sudo() { echo "sudo: a password is required" >&2; return 1; }; ${lines[0]}`;
    const told = await run(["bash", "-c", script]);
    assert.notEqual(told.status, 0);
    assert.match(told.stderr, /a password is required/);
  });

  for (const hidepid of [1, 2])
    test(`when /proc is mounted with hidepid=${hidepid}`, { skip: notSudo }, async () => {
      const tmp = temporary();
      const setup = `mount -o remount,hidepid=${hidepid} /proc`;
      const command = (...flags: string[]) =>
        afterAsRoot(
          setup,
          chapter("03", "--yes", ...flags),
          environment(tmp) as NodeJS.ProcessEnv,
          ...ownProc,
        );
      toldToItsEnd(await leavesNothing(() => run(command(), { tmp })));
      mkdirSync(tmp, { recursive: true });
      const told = await leavesNothing(() => run(command("--challenge"), { tmp }));
      assert.equal(told.status, 2, inShort(told));
      assert.match(told.stderr, /hidepid.*remount,hidepid=0/);
    });
});

// ── Clearing up, and others who are there

describe("clear()", { skip: notRoot }, () => {
  const asRoot = mode === "sudo";
  /** A directory of ours, and a shell in it. */
  function workDirectory() {
    const tmp = temporary();
    const directory = mkdtempSync(join(tmp, "by-hand."));
    return { tmp, directory, shell: openShell(directory, asRoot ? "sudo" : "root") };
  }
  /** A process of the reader's own that stands in a directory; it has not our mark. */
  const stranger = (cwd: string, ...command: string[]) =>
    spawn(command[0]!, command.slice(1), { cwd, env: { PATH: process.env.PATH } });
  const isAlive = (pid: number) => !["Z", undefined].includes(stat(pid)?.state);

  test("asks strangers in the directory to leave, and removes it when they do", () =>
    leavesNothing(async () => {
      const { tmp, directory, shell } = workDirectory();
      const sleeper = stranger(directory, "sleep", "1d");
      assert.equal(clear(directory, shell, asRoot), undefined);
      await until(() => sleeper.signalCode !== null);
      assert.equal(sleeper.signalCode, "SIGHUP");
      assert.ok(!existsSync(directory));
      tidy(tmp);
    }));

  test("leaves a stranger who stays alone, keeps the directory, and names both", () =>
    leavesNothing(async () => {
      const { tmp, directory, shell } = workDirectory();
      await shell.run("mkdir d; cd d; sleep 1d &> /dev/null &");
      await shell.run("sudo bash -c 'setsid sleep 1d & disown' &> /dev/null");
      const editor = stranger(directory, "bash", "-c", "trap '' HUP; echo; read -t 100");
      await new Promise((resolve) => editor.stdout.once("data", resolve));
      const ours = () =>
        (shell.runSync("pgrep --full '^sleep 1d$'").stdout.match(/\d+/g) ?? [])
          .map(Number)
          .filter((pid) => isOurs(pid, directory));
      await until(() => ours().length === 2, "two processes with our mark");
      const pids = ours();
      const left = clear(directory, shell, asRoot);
      assert.match(
        left!,
        new RegExp(`${directory}, so it was not removed: process ${editor.pid} \\(bash`),
      );
      assert.ok(existsSync(directory) && isAlive(editor.pid!));
      await until(() => !pids.some(isAlive));
      editor.kill("SIGKILL");
      await until(() => editor.signalCode !== null);
      assert.equal(clear(directory, shell, asRoot), undefined);
      tidy(tmp);
    }));

  /** Whether a process has the mark of a directory, as root may see. */
  function isOurs(pid: number, directory: string) {
    const shell = openShell(temporary(), asRoot ? "sudo" : "root");
    const found = shell.runSync(
      `${sudo.join(" ")} grep -qz ${mark}=${basename(directory)} /proc/${pid}/environ`,
    );
    rmSync(dirname(shell.directory), { recursive: true });
    return found.ok;
  }

  test("spares them at the next start, too, and lists them apart", () =>
    leavesNothing(async () => {
      const tmp = temporary();
      await run(chapter("03", "--yes"), {
        tmp,
        once: { prints: /^PID=/m, then: (child) => child.kill("SIGKILL") },
      });
      const [left = ""] = readdirSync(tmp).filter((name) => name.startsWith("by-hand."));
      const editor = stranger(join(tmp, left), "bash", "-c", "trap '' HUP; echo; read -t 100");
      await new Promise((resolve) => editor.stdout.once("data", resolve));
      const told = await run(chapter("02", "--yes"), { tmp });
      assert.match(told.stdout, new RegExp(`^  not of it  ${editor.pid} bash`, "m"), inShort(told));
      assert.match(told.stdout, /so it was not removed/);
      assert.ok(isAlive(editor.pid!));
      editor.kill("SIGKILL");
      await until(() => editor.signalCode !== null);
      mkdirSync(tmp, { recursive: true });
      toldToItsEnd(await run(chapter("02", "--yes"), { tmp }));
    }));
});

// ── --container

describe("--container joins nobody by a number from elsewhere", { skip: notRoot }, () => {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  /** A docker that says it runs a container as process 1, and what is seen inside. */
  function fakeDocker(bin: string, inside: string) {
    const script = `#!/bin/sh
case "$*" in
  version*) ;;
  *State.Status*) echo running ;;
  *State.Pid*) echo 1 ;;
  exec*) printf '${inside}' ;;
  *) exit 1 ;;
esac
`;
    writeFileSync(join(bin, "docker"), script, { mode: 0o755 });
  }

  for (const [what, inside, why] of [
    ["another kernel", "0-0-0\\nmnt -> mnt:[1]\\n", /runs on another kernel/],
    ["another pid namespace", `${boot}\\nmnt -> mnt:[1]\\n`, /here that is another process/],
  ] as const)
    test(`when its container is in ${what}`, { skip: cannotRun }, () =>
      leavesNothing(async () => {
        const bin = temporary("bin");
        fakeDocker(bin, inside);
        chmodSync(bin, 0o755);
        // In PATH counts what only root writes to.
        const place = mode === "root" ? bin : "/usr/local/sbin";
        const flags = ["--yes", "--container", "web"];
        const told =
          mode === "root"
            ? await run(chapter("03", ...flags), { env: { PATH: `${place}:${process.env.PATH}` } })
            : await asSudoWithDocker(join(bin, "docker"), flags);
        assert.match(refused(told), why);
        assert.doesNotMatch(told.stdout, /nsenter/);
        rmSync(dirname(bin), { recursive: true });
      }),
    );

  /** As a user with sudo, where that docker is the first in PATH. */
  async function asSudoWithDocker(docker: string, flags: string[]) {
    const tmp = temporary();
    const setup = `mount -t tmpfs -o mode=755 none /usr/local/sbin; install -m 755 ${docker} /usr/local/sbin/docker`;
    const env = environment(tmp, { PATH: `/usr/local/sbin:${process.env.PATH}` });
    return run(afterAsRoot(setup, chapter("03", ...flags), env as NodeJS.ProcessEnv), { tmp });
  }
});

// ── A terminal that is closed

test("a terminal that is closed as the chapter ends crashes nothing", { skip: cannotRun }, () =>
  leavesNothing(async () => {
    for (let time = 0; time < 12; time++) {
      const { status } = await atTerminal(chapter("02", "--yes"), {}, async (reader) => {
        await reader.sees(/^Told to the end/m);
        await new Promise((resolve) => setTimeout(resolve, time * 5));
        reader.leaves();
      });
      // Not 134 or 139, by which Node once ended: SIGABRT, SIGSEGV.
      assert.ok(status === 0 || status === 129, `${5 * time} ms later it ended with ${status}`);
    }
  }),
);

// ── Languages

const german = { LANG: "C.UTF-8", LANGUAGE: "de" };
const noGerman =
  !existsSync("/usr/share/locale/de/LC_MESSAGES/util-linux.mo") &&
  "util-linux does not speak German here: the package is util-linux-locales";

describe("a diagnosis does not depend on the language", { skip: noGerman || noOwnMounts }, () => {
  const rootless = tsx(file("chapters/02-unshare.ts"), "--yes", "--rootless");

  test("(which is German here)", async () => {
    const { stderr } = await run(["unshare", "--no-such-flag"], { env: german });
    assert.match(stderr, /Unbekannte Option/);
  });

  test("when parts of /proc are covered", async () => {
    const command = prepared("mount -t tmpfs none /proc/irq", rootless, mapped);
    const told = await run(command, { env: german });
    assert.match(refused(told), /Parts of \/proc are covered here \(\/proc\/irq\)/);
  });

  test("when there are too many user namespaces", async () => {
    // Nothing is to cover /proc besides. Then one is made, and the next is one too many.
    const bare =
      "if mountpoint -q /proc/sys/fs/binfmt_misc; then mount -t tmpfs none /proc/sys/fs/binfmt_misc; fi";
    const command = prepared(
      "echo 1 > /proc/sys/user/max_user_namespaces",
      prepared(bare, rootless, mapped),
      mapped,
    );
    const told = await run(command, { env: german });
    assert.match(refused(told), /that many user namespaces are in use/);
  });
});

// ── Histories

test("what is typed in a chapter is in nobody's history", { skip: notSudo || cannotRun }, () =>
  leavesNothing(async () => {
    const tmp = temporary();
    const home = temporary("home");
    const env = environment(tmp, { HOME: home }) as NodeJS.ProcessEnv;
    // After it, root's history is printed.
    const command = afterAsRoot(
      "mount -t tmpfs none /root",
      [
        ...["bash", "-c", '"$@"; sudo -n cat /root/.bash_history; echo "that was it"', "-"],
        ...chapter("02"),
      ],
      env,
    );
    const { output } = await atTerminal(command, { tmp }, async (reader) => {
      const { sees, types } = reader;
      await agree(reader, 1);
      await sees(question);
      types(keys.down + keys.enter);
      await sees(/# $/);
      types("echo secret-one\r");
      await sees(/^secret-one$/m);
      types("exit\r");
      await agreeUntil(reader, /Go on\?/);
      types(keys.down + keys.enter);
      await sees(/\$ $/);
      types("sudo bash\r");
      await sees(/# $/);
      types("echo secret-two\r");
      await sees(/^secret-two$/m);
      types("exit\r");
      await sees(/\$ $/);
      types("exit\r");
      await sees(question);
      types(keys.up + keys.enter);
      await sees(/that was it/);
    });
    const end = output.slice(output.indexOf("is undone."));
    assert.doesNotMatch(end, /secret/);
    assert.match(end, /\.bash_history: No such file/);
    assert.deepEqual(
      readdirSync(home).filter((name) => /history/.test(name)),
      [],
    );
    rmSync(dirname(home), { recursive: true });
  }),
);

// ── The checkout and its tools

test("a chapter's header is read whatever its line ends are", () => {
  const place = temporary();
  const path = file("chapters/02-unshare.ts");
  const copy = join(place, "copy.ts");
  writeFileSync(copy, readFileSync(path, "utf8").replaceAll("\n", "\r\n"));
  assert.deepEqual(readHeader(copy), readHeader(path));
  assert.ok(readHeader(copy).title && readHeader(copy).figure);
  rmSync(dirname(place), { recursive: true });
});

test(
  "a program that may be run and not read is refused only where it would be copied",
  { skip: notSudo || cannotRun },
  () =>
    leavesNothing(async () => {
      const setup = ["mount", "umount"]
        .map((tool) => findProgram(tool)!)
        .map(
          (tool) =>
            `cp ${tool} /run/by-hand-$$; chmod 4711 /run/by-hand-$$; mount --bind /run/by-hand-$$ ${tool}; rm /run/by-hand-$$`,
        )
        .join("\n");
      for (const [which, check] of [
        ["02", toldToItsEnd],
        [
          "01",
          (told: Awaited<ReturnType<typeof run>>) =>
            assert.match(refused(told), /mount can be run but not read/),
        ],
      ] as const) {
        const tmp = temporary();
        const env = environment(tmp) as NodeJS.ProcessEnv;
        check(await run(afterAsRoot(setup, chapter(which, "--yes"), env), { tmp }));
      }
    }),
);

test(
  "CI makes users with sudo on a disposable machine only",
  { skip: missingTools("bash") },
  async () => {
    const { CI, BY_HAND_DISPOSABLE, ...rest } = process.env;
    const told = await run(["env", "--unset=CI", "--unset=BY_HAND_DISPOSABLE", "bash", ".ci/run"], {
      env: rest,
      cwd: checkout,
    });
    assert.equal(told.status, 2);
    assert.match(told.stderr, /BY_HAND_DISPOSABLE=yes/);
    assert.equal(told.stdout, "");
  },
);
