import assert from "node:assert/strict";
import { chmodSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { findProgram, openShell, searchPath } from "../shell.ts";
import { run, temporary, tidy, tsxEval } from "./testing.ts";

/** A shell in a directory that goes with the test. */
function open(t: TestContext) {
  const directory = temporary();
  t.after(() => {
    for (const name of ["state", "a b"])
      rmSync(join(directory, name), { recursive: true, force: true });
    tidy(directory);
  });
  return { directory, shell: openShell(directory, "root") };
}

/** Sets variables of this process for one test. */
function setVariables(t: TestContext, variables: NodeJS.ProcessEnv) {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  t.after(() => {
    process.env = before;
  });
}

test("run() begins in the shell's directory, and hands on the one that it leaves", async (t) => {
  const { directory, shell } = open(t);
  const first = await shell.run("pwd; mkdir 'a b'; cd 'a b'");
  assert.equal(first.stdout, `${directory}\n`);
  assert.equal((await shell.run("pwd")).stdout, `${directory}/a b\n`);
});

test("run() hands variables on as they are, exported or not", async (t) => {
  const { shell } = open(t);
  await shell.run(
    String.raw`LINES_=$'one\ntwo\n'; QUOTES="it's \"\$HOME\""; EQUAL=a=b=c; export OUT=1`,
  );
  const { stdout } = await shell.run(`printf '<%s>' "$LINES_" "$QUOTES" "$EQUAL" "$OUT"`);
  assert.equal(stdout, `<one\ntwo\n><it's "$HOME"><a=b=c><1>`);
});

test("run() forgets a variable that was unset", async (t) => {
  const { shell } = open(t);
  await shell.run("GONE=here");
  await shell.run("unset GONE");
  assert.equal((await shell.run('echo "<$GONE>"')).stdout, "<>\n");
});

test("run() hands on what a line did before it failed or exited", async (t) => {
  const { shell } = open(t);
  const exited = await shell.run("KEPT=this; exit 3");
  assert.equal(exited.exitCode, 3);
  const failed = await shell.run('echo "$KEPT"; ALSO=that; false');
  assert.equal(failed.stdout, "this\n");
  assert.equal(failed.exitCode, 1);
  assert.equal((await shell.run('echo "$ALSO"')).stdout, "that\n");
});

test("run() keeps what it had when a line is killed", async (t) => {
  const { shell } = open(t);
  await shell.run("KEPT=this");
  const killed = await shell.run("KEPT=that; kill -9 $$");
  assert.equal(killed.signal, "SIGKILL");
  assert.equal((await shell.run('echo "$KEPT"')).stdout, "this\n");
});

test("run() does not wait for a process in the background", { timeout: 20_000 }, async (t) => {
  const { shell } = open(t);
  await shell.run("sleep 1d &> /dev/null & STARTED=$!");
  const { exitCode } = await shell.run('kill "$STARTED"');
  assert.equal(exitCode, 0);
});

test("run() defines sudo away for root", async (t) => {
  const { shell } = open(t);
  const { stdout } = await shell.run("sudo echo 'a  b' c; sudo type -t sudo");
  assert.equal(stdout, "a  b c\nfunction\n");
});

test("run() echoes typed lines above what they print", async (t) => {
  const { shell } = open(t);
  const { stdout, exitCode } = await shell.run("bash", ["echo one", "echo two >&2", "exit 4"]);
  assert.equal(stdout, "echo one\none\necho two >&2\ntwo\nexit 4\n");
  assert.equal(exitCode, 4);
});

test("run() reads no ~/.bashrc, for a line or for typed ones", async (t) => {
  const home = temporary();
  const bashrc = join(home, ".bashrc");
  writeFileSync(bashrc, "echo intruder\n");
  t.after(() => {
    rmSync(bashrc);
    tidy(home);
  });
  setVariables(t, { HOME: home });
  const { shell } = open(t);
  // The first bash of all is the one that is easily taken for a remote shell's.
  const typed = await shell.run("bash", ["echo typed"]);
  assert.equal(typed.stdout, "echo typed\ntyped\n");
  assert.equal((await shell.run("echo $HOME")).stdout, `${home}\n`);
});

test("run() is not changed by the reader's environment", async () => {
  const tmp = temporary();
  const script = join(tmp, "intruder");
  writeFileSync(script, "echo intruder\n");
  mkdirSync(join(tmp, "elsewhere/lib"), { recursive: true });
  mkdirSync(join(tmp, "lib"));
  const code = `
    const { openShell } = await load("shell.ts");
    const shell = openShell(process.env.TMPDIR, "root");
    for (const line of ["cd lib; pwd", "ps -p $$", "ls /proc/self/status"])
      console.log((await shell.run(line)).stdall);
    console.log((await shell.run("bash", ["ls /proc/self/status"])).stdall);
    console.log(shell.runSync("echo sync").stdall);`;
  const { stdout, stderr } = await run(tsxEval(code), {
    tmp,
    env: {
      BASH_ENV: script,
      ENV: script,
      SHELLOPTS: "noexec",
      "BASH_FUNC_ls%%": "() { echo intruder; }",
      CDPATH: join(tmp, "elsewhere"),
      PS_FORMAT: "args",
      ZX_SHELL: "/bin/false",
      ZX_PREFIX: "echo intruder;",
      ZX_POSTFIX: "; echo intruder",
      ZX_VERBOSE: "true",
      ZX_CWD: "/",
    },
  });
  for (const name of ["intruder", "elsewhere", "lib", "state"])
    rmSync(join(tmp, name), { recursive: true });
  tidy(tmp);
  assert.equal(stderr, "");
  const [cd, ps, ls, typed, sync] = stdout.split("\n\n");
  assert.equal(cd, join(tmp, "lib"));
  assert.match(ps!, /^ *PID TTY +TIME CMD\n *\d+ .* bash$/);
  assert.equal(ls, "/proc/self/status");
  assert.equal(typed, "ls /proc/self/status\n/proc/self/status");
  assert.equal(sync, "sync");
});

test("searchPath() drops directories that are relative, or that others may write to", (t) => {
  const open = temporary();
  const own = temporary();
  t.after(() => [open, own].forEach(tidy));
  chmodSync(open, 0o777);
  setVariables(t, { PATH: `${open}:bin:.::/usr/bin:${own}` });
  const path = searchPath();
  assert.ok(!path.includes(open));
  assert.ok(path.every((directory) => directory.startsWith("/")));
  // A directory of one's own is root's only if one is root.
  assert.equal(path.includes(own), process.getuid?.() === 0);
  for (const directory of ["/usr/bin", "/usr/sbin", "/sbin", "/bin"])
    assert.ok(path.includes(directory));
  assert.equal(new Set(path).size, path.length);
});

test("findProgram() finds what a line would run", (t) => {
  const open = temporary();
  t.after(() => {
    rmSync(join(open, "ls"));
    tidy(open);
  });
  writeFileSync(join(open, "ls"), "", { mode: 0o755 });
  chmodSync(open, 0o777);
  setVariables(t, { PATH: `${open}:/usr/bin:/bin` });
  assert.match(findProgram("ls")!, /^\/(usr\/)?bin\/ls$/);
  assert.equal(findProgram("no-such-program"), undefined);
});

test("openShell() keeps its state where only its user can read it", async (t) => {
  const { directory, shell } = open(t);
  await shell.run("SECRET=1");
  assert.equal(statSync(join(directory, "state")).mode & 0o777, 0o600);
});
