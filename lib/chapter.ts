/**
 * A chapter: its command line, its beginning and its end.
 */
import { existsSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bold, green, red } from "kleur/colors";
import { ProcessOutput, quote } from "zx/core";
import type { Desk } from "./challenge.ts";
import { clear, leftovers, makeDirectory } from "./cleanup.ts";
import { readHeader, type Header } from "./header.ts";
import { children, idsAreMapped } from "./kernel.ts";
import {
  CannotStart,
  findPrivilege,
  requireExecutable,
  requireLinux,
  requireNamespaces,
  requireOverlay,
  requireSandbox,
  requireSilentSudo,
  requireTools,
  sandbox,
} from "./preflight.ts";
import type { Source } from "./rootfs.ts";
import { pick, print, Stopped } from "./screen.ts";
import { handOver, openShell, tryOut, type Shell } from "./shell.ts";
import { guide, scribe, type Teller } from "./teller.ts";

/** What a chapter is told with. */
export interface Verbs extends Teller {
  /** Fills a directory with a root file system. */
  rootfs(directory: string, source: Source): Promise<void>;
}

type Tale = (verbs: Verbs, desk?: Desk) => Promise<void>;

/** What is told: a chapter, or a challenge of it. */
interface Story {
  header: Header;
  /** Programs of this machine that it takes, besides those its lines are known to. */
  needs?: string[];
  tale: Tale;
}

const options = {
  yes: { type: "boolean", short: "y" },
  print: { type: "boolean", short: "p" },
  rootless: { type: "boolean" },
  challenge: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

const usage = "[--yes | --print | --help] [--rootless] [--challenge]";

const help = `Options
  -y, --yes       ask nothing, run every step; needs no terminal
  -p, --print     print the chapter as a bash script; run nothing
      --rootless  be root in a user namespace instead of using sudo
      --challenge take this chapter's further challenge; with --yes or
                  --print, be shown its solution
  -h, --help      show this text

Exit status
  0  told to the end     1  a step failed or a claim did not hold
  2  cannot start: usage, platform, a missing tool, no terminal and no --yes
  130, 143, 129  stopped: Ctrl-C or "stop here", SIGTERM, SIGHUP`;

/**
 * Tells a chapter as its command line asks for, and sets the exit status.
 *
 * @param url the chapter's `import.meta.url`: the comment at the top of that
 *   file is its title, its text for --help and its list of man pages
 * @param tale the chapter: one straight line, with no branch on what a step
 *   printed, for it is also told without running anything
 */
export async function chapter(url: string, tale: Tale): Promise<void> {
  for (const stream of [process.stdin, process.stdout, process.stderr])
    // EPIPE: the reader of our output is gone. EIO: the terminal is.
    stream.on("error", ({ code }: NodeJS.ErrnoException) =>
      process.exit(code === "EIO" ? 129 : 1),
    );
  try {
    await start(url, readHeader(fileURLToPath(url)), tale);
  } catch (error) {
    process.exitCode = explain(error);
  }
}

async function start(url: string, header: Header, tale: Tale) {
  const flags = readFlags(header);
  if (flags.help) return console.log(`${header.text}\n\n${help}`);

  const chapter: Story = { header, tale };
  const stories = flags.challenge
    ? await challengeStories(url, header)
    : [chapter];
  const { teller, script, lines } = scribe();
  const programs: string[] = [];
  for (const story of stories) programs.push(...(await tell(teller, story)));
  if (flags.print) {
    const command = `${header.run}${flags.challenge ? " --challenge" : ""} --print`;
    return console.log(printable(header, command, script));
  }

  requireLinux();
  const ask = !flags.yes;
  if (ask && !(process.stdin.isTTY && process.stdout.isTTY))
    throw new CannotStart(
      "There is no terminal to ask at. Use --yes to run every step unasked, or --print to see them all.",
    );
  requireTools([...lines, flags.rootless ? sandbox : ""], programs);
  if (flags.rootless) return walkSandboxed(ask);
  await walk(header, ask, lines, async (tell, told) => {
    if (flags.challenge && ask) return tell(await pickStory(stories));
    for (const story of stories) await tell(story);
    if (flags.challenge) return;
    const challenge = ask && (await offerChallenge(url, header));
    print(green(`\nTold to the end. Claims that held: ${told.claims}.`));
    if (challenge) await tell(challenge);
  });
}

/** A chapter's challenges, to be told like chapters. */
async function challengeStories(url: string, header: Header): Promise<Story[]> {
  // Loaded when wanted only, so that a chapter starts as fast without.
  const { challengesOf, take, tellSolution } = await import("./challenge.ts");
  return (await challengesOf(url)).map((challenge) => ({
    header: {
      ...header,
      title: challenge.title,
      summary: `Challenge: ${challenge.title}. ${challenge.goal}`,
    },
    needs: challenge.needs,
    tale: (verbs, desk) =>
      desk ? take(challenge, verbs, desk) : tellSolution(challenge, verbs),
  }));
}

/** Has the reader pick a story, or `none` of them if that is offered. */
async function pickStory(
  stories: Story[],
  none: string,
): Promise<Story | undefined>;
async function pickStory(stories: Story[]): Promise<Story>;
async function pickStory(stories: Story[], none?: string) {
  if (!none && stories.length === 1) return stories[0];
  const titles = stories.map(({ header }) => header.title);
  const options = [...titles, ...(none ? [none] : [])].map((title) => ({
    value: title,
    label: title,
  }));
  print();
  const picked = await pick("Take a further challenge?", options, none);
  return stories.find(({ header }) => header.title === picked);
}

/** After a walk: the challenge that the reader picks, if any. */
async function offerChallenge(url: string, header: Header) {
  if (!existsSync(fileURLToPath(url).replace(/\.ts$/, ".challenges.ts")))
    return;
  const story = await pickStory(await challengeStories(url, header), "Not now");
  if (story) {
    const { teller, lines } = scribe();
    requireTools(lines, await tell(teller, story));
  }
  return story;
}

function readFlags(header: Header) {
  try {
    return parseArgs({ options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new CannotStart(
      `${(error as Error).message}\nUsage: ${header.run} ${usage}`,
    );
  }
}

/**
 * Tells a story from its first line to its last.
 *
 * @returns the programs of this machine that it copies, or needs besides
 */
async function tell(
  teller: Teller,
  { header, needs = [], tale }: Story,
  desk?: Desk,
) {
  const { say, $ } = teller;
  const programs = [...needs];

  say`${header.summary}`;
  say`Everything happens in a directory of its own, which is removed at the end. mktemp -d makes one
    with a new name, -t where temporary files belong.`;
  await $`WORK=$(mktemp -d -t by-hand.XXXXXX); cd "$WORK"`;

  const verbs: Verbs = {
    ...teller,
    rootfs(directory, source) {
      programs.push(...source.programs);
      return source.fill(directory, teller);
    },
  };
  await tale(verbs, desk);

  await teller.part`Leave nothing behind`;
  say`Never remove a directory with something mounted below it: rm would go on in there. So look first, and only then remove.`;
  await $({
    changes: "the chapter's directory is removed, with all that is in it",
    undo: "not needed, this is what undoes the rest",
  })`cd ..; grep "$(basename "$WORK")" /proc/self/mountinfo || sudo rm -rf --one-file-system "$WORK"`;
  say`Man pages: ${header.pages}.`;
  return programs;
}

/** The chapter as a script that does the same without us. */
function printable(header: Header, command: string, script: string[]) {
  return [
    "#!/usr/bin/env bash",
    `# ${header.title}`,
    `# Printed by: ${command}`,
    "",
    "# For root on a machine without sudo.",
    'command -v sudo >/dev/null || sudo() { "$@"; }',
    ...script,
  ].join("\n");
}

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

/**
 * Tells stories in a directory of our own, and clears that however it ends.
 *
 * @param stories tells them, with what it is handed
 */
async function walk(
  header: Header,
  ask: boolean,
  lines: string[],
  stories: (
    tell: (story: Story) => Promise<unknown>,
    told: { claims: number },
  ) => Promise<unknown>,
) {
  const privilege = findPrivilege();
  if (!ask && privilege === "sudo") requireSilentSudo();

  const directory = makeDirectory();
  const shell = openShell(directory, privilege);
  let probed: Promise<void> | undefined;
  const probe = () => (probed ??= tryWhatIsNeeded(lines, shell, directory));
  const { teller, told, recover, authenticate } = guide(
    ...([shell, privilege, ask, probe] as const),
  );
  process.on("exit", (status) => {
    const left = clear(directory, shell, told.sudo);
    if (left) process.exitCode = 1;
    if (left || (status !== 0 && told.lines > 0))
      complain(left ?? "Everything that was done so far is undone.");
  });
  for (const [signal, status] of Object.entries(signals))
    process.on(signal, () => process.exit(status));

  requireExecutable(directory);
  print(bold(header.title));
  if (idsAreMapped()) teller.say`${rootless}`;
  for (const left of leftovers()) await recover(left);
  // Probe before the first step, unless sudo would have to ask for that.
  if (privilege === "root" || tryOut("sudo -n true").ok) await probe();
  const desk: Desk = { shell, privilege, ask, authenticate };
  await stories((story) => tell(teller, story, desk), told);
}

/** Tries, as root, what a chapter's lines will need. */
async function tryWhatIsNeeded(
  lines: string[],
  shell: Shell,
  directory: string,
) {
  await requireNamespaces(shell);
  if (lines.some((line) => line.includes("overlay")))
    await requireOverlay(shell, directory);
}

const rootless = `You are root in a user namespace only: outside of it you are who you
  were. Process 1 is this chapter. When it ends, the kernel ends all others in here and takes
  every mount away. Out of reach stays what belongs to the real root, such as the host's mounts.`;

/** Starts this chapter again where the reader is root, and clears up after it. */
async function walkSandboxed(ask: boolean) {
  requireSandbox();
  const directory = makeDirectory();
  const shell = openShell(directory, "root");
  const again = process.argv.slice(1).filter((word) => word !== "--rootless");
  const command = [process.execPath, ...process.execArgv, ...again];

  for (const left of leftovers())
    await guide(shell, "root", ask, async () => {}).recover(left);
  const chapter = handOver(`exec ${sandbox} ${command.map(quote).join(" ")}`, {
    TMPDIR: directory,
  });
  const { pid = 0 } = chapter;
  process.on("exit", () => {
    if (chapter.stage === "running") endSandbox(pid);
    const left = clear(directory, shell, false);
    if (left) complain(left);
  });
  for (const [name, status] of Object.entries(signals))
    process.on(name, () => {
      // The chapter knows best how to stop, and sets the terminal right.
      for (const child of children(pid)) process.kill(child, name);
      setTimeout(() => process.exit(status), 3000).unref();
    });
  const { exitCode } = await chapter;
  process.exitCode = exitCode ?? 1;
}

/** Ends unshare, and waits for the end of its child, which ends with it. */
function endSandbox(pid: number) {
  const inside = children(pid);
  process.kill(pid, "SIGKILL");
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (let wait = 0; wait < 500; wait++) {
    if (!inside.some((child) => existsSync(`/proc/${child}/cwd`))) return;
    Atomics.wait(clock, 0, 0, 10);
  }
}

/** Says why a chapter ended early; returns its exit status. */
function explain(error: unknown): number {
  if (error instanceof Stopped) return 130;
  if (error instanceof ProcessOutput)
    complain(
      `\nThe last line failed${error.signal ? `: ${error.signal}` : ` with exit status ${error.exitCode}`}.`,
    );
  else {
    const { message, stack } = error as Error;
    complain(`\n${process.env.DEBUG ? stack : message}`);
  }
  return error instanceof CannotStart ? 2 : 1;
}

/** Writes to standard error, if there is anyone left to read it. */
function complain(text: string) {
  try {
    writeSync(2, `${red(text)}\n`);
  } catch {
    // The terminal or the pipe is gone, and so is the reader.
  }
}
