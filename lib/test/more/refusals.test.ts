import assert from "node:assert/strict";
import { chownSync, existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { searchPath } from "../shell.ts";
import {
  agree,
  atTerminal,
  cannotRun,
  chapter,
  file,
  keys,
  leavesNothing,
  missingTools,
  mode,
  noOwnMounts,
  ownMounts,
  run,
  succeeds,
  temporary,
  tsx,
} from "./testing.ts";

const path = "chapters/02-unshare.ts";
const fixture = (name: string) => `lib/test/fixtures/${name}.ts`;

// ── Bad input

/** Runs what cannot start, and returns why: nothing else may happen. */
async function refusal(
  command: string[],
  options: Parameters<typeof run>[1] = {},
): Promise<string> {
  const { status, stdout, stderr } = await leavesNothing(() => run(command, options));
  assert.equal(stdout, "");
  assert.equal(status, 2);
  assert.doesNotMatch(stderr, /^ +at /m);
  return stderr;
}

/** The command, on a machine where a tool is not installed. */
function without(tool: string, command: string[]): string[] {
  const files = searchPath()
    .map((directory) => join(directory, tool))
    .filter((file) => existsSync(file))
    .map((file) => realpathSync(file));
  const hide = [...new Set(files)].map((file) => `mount --bind /dev/null ${file}`);
  const script = [...hide, 'exec "$@"'].join(" && ");
  return [...ownMounts, "sh", "-c", script, "sh", ...command];
}

/** A command that is run by nobody in particular. */
const ordinary = ["unshare", "--user", "--map-user=1000", "--map-group=1000"];

describe("chapter() refuses", () => {
  for (const wrong of ["--frobnicate", "-x", "--yes=3", "stray", "--rootfs", "--container"])
    test(`${wrong}, names it, and shows the usage`, async () => {
      const why = await refusal(tsx(file(path), "--yes", wrong));
      assert.ok(why.includes(wrong.replace(/=.*/, "")), why);
      assert.match(why, /^Usage: npx tsx chapters\/02-unshare\.ts \[/m);
    });

  for (const wrong of [
    ["--rootfs", "nonsense"],
    ["--container", "web"],
  ])
    test(`${wrong.join(" ")}, and names it`, async () => {
      const why = await refusal(tsx(file(path), "--yes", ...wrong));
      assert.ok(why.includes(wrong[0]!), why);
    });

  test("to ask when there is no terminal", async () => {
    const why = await refusal(tsx(file(path)));
    assert.match(why, /--yes/);
    assert.match(why, /--print/);
  });

  test("to run on anything but Linux", async () => {
    const mac = "data:text/javascript,Object.defineProperty(process,'platform',{value:'darwin'})";
    const why = await refusal(tsx("--import", mac, file(path), "--yes"));
    assert.match(why, /Linux/);
    assert.match(why, /darwin/);
  });

  for (const [tool, name, ...packages] of [
    ["bash", "02-unshare"],
    ["unshare", "02-unshare", "util-linux", "util-linux-misc"],
    ["nsenter", "03-nsenter", "util-linux", "util-linux-misc"],
    ["chroot", "01-chroot", "coreutils"],
    ["mount", "04-overlay", "util-linux"],
    ["ps", "02-unshare", "procps", "procps-ng"],
    ["ip", "02-unshare", "iproute2", "iproute"],
    ["ldd", "02-unshare", "libc-bin", "glibc-common", "glibc", "musl-utils"],
  ] as [string, string, ...string[]][])
    test(
      `to start ${name} when ${tool} is missing, and names its packages`,
      { skip: noOwnMounts || missingTools(tool) },
      async () => {
        const command = tsx(file(`chapters/${name}.ts`), "--yes");
        const why = await refusal(without(tool, command));
        const words = new Set(why.match(/[\w-]+/g));
        for (const word of [tool, ...packages]) assert.ok(words.has(word), why);
        for (const where of ["Debian", "Ubuntu", "Fedora", "Arch", "Alpine"])
          assert.ok(words.has(where), why);
      },
    );

  test(
    "to start without root and without sudo",
    {
      skip:
        noOwnMounts ||
        (!succeeds(ownMounts[0]!, ...ownMounts.slice(1), ...ordinary, "true") &&
          "no user namespace for this user on this machine"),
    },
    async () => {
      const command = [...ordinary, ...tsx(file(path), "--yes")];
      const why = await refusal(without("sudo", command));
      assert.match(why, /\broot\b/);
      assert.match(why, /\bsudo\b/);
    },
  );
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
  (!succeeds(...(asReader as [string]), "test", "-r", file(path)) &&
    `${user} cannot read this checkout`);

/** A TMPDIR that is the reader's. */
function readersTemporary(): string {
  const tmp = temporary();
  const [, , uid, gid] =
    new RegExp(`^${user}:(.*):(\\d+):(\\d+):`, "m").exec(readFileSync("/etc/passwd", "utf8")) ?? [];
  chownSync(tmp, Number(uid), Number(gid));
  return tmp;
}

describe("chapter() as a user whose sudo wants a password", { skip: noReader }, () => {
  const command = [...asReader, ...tsx(file(path))];
  const asked = new RegExp(`password for ${user}: $`);

  test("refuses --yes, for nobody answers", async () => {
    const why = await refusal([...command, "--yes"], {
      tmp: readersTemporary(),
    });
    assert.match(why, /\bsudo\b/);
    assert.match(why, /password/);
  });

  test("goes on when it is the right one", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(command, { tmp: readersTemporary() }, async (reader) => {
        await agree(reader, 2);
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
        await agree(reader, 2);
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
        await agree(reader, 2);
        await reader.sees(asked);
        reader.types(keys.ctrlC);
      }),
    );
    assert.ok(status === 1 || status === 130, `exit status ${status}`);
  });
});

// ── A chapter that does not get to its end

describe("chapter() undoes everything", { skip: cannotRun }, () => {
  test("when a line fails, and says which and why", async () => {
    const { status, stdout, stderr } = await leavesNothing(() =>
      run(chapter(fixture("fails"), "--yes")),
    );
    assert.equal(status, 1);
    // The line is the last one shown, and below it what it printed.
    assert.match(stdout, /^ls no-such-file\n +ls: .*no-such-file.*\n$/m);
    assert.match(stderr, /exit status 2\b/);
    assert.doesNotMatch(stdout, /too far/);
    assert.doesNotMatch(stderr, /^ +at /m);
  });

  test("when a claim does not hold, and says which and why", async () => {
    const { status, stdout, stderr } = await leavesNothing(() =>
      run(chapter(fixture("claims"), "--yes")),
    );
    assert.equal(status, 1);
    const told = (mark: string) =>
      [...stdout.matchAll(new RegExp(`^${mark} (.*)$`, "gm"))].map(([, claim]) => claim);
    assert.deepEqual(told("✔"), [
      "equal readings are the same",
      "lists in another order are the same",
      "a line break at the end is no difference",
      "unequal readings differ",
    ]);
    assert.deepEqual(told("✘"), [
      "unequal readings are not the same",
      "a longer list is not the same",
      "equal readings do not differ",
      "two of three do not differ",
      "nothing is not the same as nothing",
      "blank is nothing",
      "what is undefined is nothing",
      "an empty list is nothing",
      "something does not differ from nothing",
      "one reading is not the same as itself",
      "one reading does not differ",
      "no readings prove nothing",
      "the moon is made of cheese",
    ]);
    assert.match(stdout, /^ +the moon +rock\n +cheese +milk\n$/m);
    assert.match(stderr, /the moon is made of cheese/);
    assert.doesNotMatch(stdout, /too far/);
  });

  test("at Ctrl-C while a line runs", async () => {
    const { status, output } = await leavesNothing(() =>
      atTerminal(chapter(fixture("waits")), {}, async (reader) => {
        await reader.sees(/a file system in memory is mounted/);
        await agree(reader, 1);
        await reader.sees(/^sleep 30\n/m);
        reader.types(keys.ctrlC);
      }),
    );
    assert.equal(status, 130);
    assert.doesNotMatch(output, /too far/);
  });

  test("when the terminal is closed while a line runs", async () => {
    const { status } = await leavesNothing(() =>
      atTerminal(chapter(fixture("waits")), {}, async (reader) => {
        await agree(reader, 1);
        await reader.sees(/^sleep 30\n/m);
        reader.leaves();
      }),
    );
    assert.equal(status, 129);
  });
});

// ── What it prints

describe("chapter() prints", () => {
  test("its header and its flags for --help", async () => {
    const { status, stdout, stderr } = await leavesNothing(() => run(tsx(file(path), "--help")));
    assert.equal(status, 0);
    assert.equal(stderr, "");
    const [, header = ""] = /\/\*\*\n([^]*?)\n \*\//.exec(readFileSync(file(path), "utf8")) ?? [];
    assert.ok(stdout.startsWith(header.replace(/^ \* ?/gm, "") + "\n"), stdout);
    for (const flag of ["--yes", "--print", "--help"]) assert.ok(stdout.includes(flag), stdout);
  });

  test("nothing if a line with sudo does not say what it changes", async () => {
    const { status, stdout, stderr } = await leavesNothing(() =>
      run(chapter(fixture("secretive"), "--yes")),
    );
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(stderr, /sudo echo too far/);
  });

  test("a stack trace only if DEBUG is set", async () => {
    const { stderr } = await run(tsx(file(path), "--frobnicate"), {
      env: { DEBUG: "1" },
    });
    assert.match(stderr, /^ +at /m);
  });

  test("colours only where they are wanted", { skip: cannotRun }, async () => {
    const command = chapter(fixture("fails"), "--yes");
    const plain = await run(command);
    assert.ok(!(plain.stdout + plain.stderr).includes("\x1b"));
    const forced = await run(command, { env: { FORCE_COLOR: "1" } });
    assert.ok(forced.stdout.includes("\x1b"));
  });
});
