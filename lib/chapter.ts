/**
 * A chapter: its command line, its beginning and its end.
 */
import { existsSync, rmSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bold, green, red } from "kleur/colors";
import { ProcessOutput, quote } from "zx/core";
import type { Desk } from "./challenge.ts";
import { clear, leftovers, makeDirectory } from "./cleanup.ts";
import {
  findContainer,
  isRunning,
  requirePrograms,
  type Container,
  type Image,
} from "./engine.ts";
import { readHeader, type Header } from "./header.ts";
import { children, idsAreMapped, runtime } from "./kernel.ts";
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
import {
  parseSource,
  requireContents,
  type ForeignSource,
  type Source,
} from "./rootfs.ts";
import { pick, print, Stopped } from "./screen.ts";
import {
  asJob,
  findProgram,
  handOver,
  openShell,
  tryOut,
  type Privilege,
  type Shell,
} from "./shell.ts";
import { guide, scribe, type Teller } from "./teller.ts";

/** What a chapter is told with. */
export interface Verbs extends Teller {
  /** Fills a directory with a root file system: of this source, or the one that --rootfs names. */
  rootfs(directory: string, source: Source): Promise<void>;
  /** The shell to start in it: bash where the programs are this machine's, else sh. */
  shell: "bash" | "sh";
  /** The image that --rootfs names, where its engine is in reach. */
  image?: Image;
  /** The container that --container names. */
  container?: Container;
}

/** What a chapter can do that not every chapter can. */
interface Abilities {
  /** It takes --container, and types these programs in that container. */
  joins?: string[];
}

type Tale = (verbs: Verbs, desk?: Desk) => Promise<void>;

const options = {
  yes: { type: "boolean", short: "y" },
  print: { type: "boolean", short: "p" },
  rootless: { type: "boolean" },
  rootfs: { type: "string", default: "host" },
  container: { type: "string" },
  challenge: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

const usage =
  "[--yes | --print | --help] [--rootless] [--rootfs SOURCE] [--container NAME] [--challenge]";

const help = `Options
  -y, --yes            ask nothing, run every step; needs no terminal
  -p, --print          print the chapter as a bash script; run nothing
      --rootless       be root in a user namespace instead of using sudo
      --rootfs SOURCE  what root file systems are made of:
                       host                         programs of this machine (default)
                       busybox                      its BusyBox
                       docker:IMAGE, podman:IMAGE   an image
                       PATH.tar[.gz|.xz|.zst]       an archive
      --container NAME chapter 3: join this container of Docker's or Podman's, too
      --challenge      take a further challenge of this chapter; with --yes or --print,
                       be shown how each is solved
  -h, --help           show this text

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
export async function chapter(
  url: string,
  tale: Tale,
  abilities: Abilities = {},
): Promise<void> {
  for (const stream of [process.stdin, process.stdout, process.stderr])
    // EPIPE: the reader of our output is gone. EIO: the terminal is.
    stream.on("error", ({ code }: NodeJS.ErrnoException) =>
      process.exit(code === "EIO" ? 129 : 1),
    );
  try {
    await start(url, tale, abilities);
  } catch (error) {
    process.exitCode = explain(error);
  }
}

/** A chapter or a challenge of it, as the command line asks for it. */
interface Telling {
  header: Header;
  /** Programs of this machine that it takes, besides those its lines are known to. */
  needs?: string[];
  tale: Tale;
  /** Whether there is a reader to ask. */
  ask: boolean;
  /** What its root file systems are made of, if not of its own choice. */
  source?: ForeignSource;
  image?: Image;
  container?: Container;
}

async function start(url: string, tale: Tale, { joins }: Abilities) {
  const header = readHeader(fileURLToPath(url));
  const flags = readFlags(header);
  if (flags.help) return console.log(`${header.text}\n\n${help}`);
  if (flags.container && !joins)
    throw new CannotStart(
      "This chapter joins no container. --container is for chapter 3.",
    );
  if (flags.container && flags.rootless)
    throw new CannotStart(
      "--container takes root: from a user namespace of your own nobody joins a container that is outside of it. Leave out --rootless.",
    );

  if (flags.challenge && (flags.container || flags.rootfs !== "host"))
    throw new CannotStart(
      "A challenge is made of this machine's own programs. Leave out --rootfs and --container.",
    );

  const source = parseSource(flags.rootfs, !flags.rootless);
  const telling: Telling = {
    header,
    tale,
    ask: !flags.yes && !flags.print,
    source,
    // In a user namespace no engine is in reach.
    image: flags.rootless ? undefined : source?.image,
    container: flags.container
      ? await whichContainer(flags.container, flags)
      : undefined,
  };
  const { teller, script, lines } = scribe();
  const tellings = flags.challenge ? await challenges(url, telling) : [telling];
  const programs: string[] = [];
  for (const each of tellings) programs.push(...(await tell(teller, each)));
  if (flags.print) return console.log(printable(tellings[0]!.header, script));

  requireLinux();
  if (telling.ask && !(process.stdin.isTTY && process.stdout.isTTY))
    throw new CannotStart(
      "There is no terminal to ask at. Use --yes to run every step unasked, or --print to see them all.",
    );
  requireTools(
    [...lines, flags.rootless ? sandbox : ""],
    source ? source.programs : programs,
  );
  const refusal = source?.image?.engine.refusal;
  if (refusal) throw new CannotStart(refusal);
  if (telling.container && joins) requirePrograms(telling.container, joins);
  if (flags.rootless) return walkSandboxed(telling);
  const hint =
    joins && !flags.container && ["docker", "podman"].some(findProgram);
  await walk(
    telling,
    lines,
    programs,
    hint ? joinToo : "",
    async (tell, told) => {
      if (flags.challenge && telling.ask) return tell(await pickOne(tellings));
      for (const each of tellings) await tell(each);
      if (flags.challenge) return;
      const challenge = telling.ask && (await offerChallenge(url, telling));
      print(green(`\nTold to the end. Claims that held: ${told.claims}.`));
      if (challenge) await tell(challenge);
    },
  );
}

/** A chapter's challenges, to be told like the chapter. */
async function challenges(url: string, chapter: Telling): Promise<Telling[]> {
  // Loaded when wanted only, so that a chapter starts as fast without.
  const { challengesOf, take, tellSolution } = await import("./challenge.ts");
  const { header, ask } = chapter;
  return (await challengesOf(url)).map((challenge) => ({
    header: {
      ...header,
      title: challenge.title,
      summary: `Challenge: ${challenge.title}. ${challenge.goal}`,
      run: `${header.run} --challenge`,
    },
    ask,
    needs: challenge.needs,
    tale: (verbs, desk) =>
      desk ? take(challenge, verbs, desk) : tellSolution(challenge, verbs),
  }));
}

/** Has the reader pick a challenge, or `none` if that is offered. */
async function pickOne(
  tellings: Telling[],
  none: string,
): Promise<Telling | undefined>;
async function pickOne(tellings: Telling[]): Promise<Telling>;
async function pickOne(tellings: Telling[], none?: string) {
  if (!none && tellings.length === 1) return tellings[0];
  const titles = tellings.map(({ header }) => header.title);
  const options = [...titles, ...(none ? [none] : [])].map((title) => ({
    value: title,
    label: title,
  }));
  print();
  const picked = await pick("Take a further challenge?", options, none);
  return tellings.find(({ header }) => header.title === picked);
}

/** After a walk: the challenge that the reader picks, if any. */
async function offerChallenge(url: string, chapter: Telling) {
  if (!existsSync(fileURLToPath(url).replace(/\.ts$/, ".challenges.ts")))
    return;
  const telling = await pickOne(await challenges(url, chapter), "Not now");
  if (telling) {
    const { teller, lines } = scribe();
    requireTools(lines, await tell(teller, telling));
  }
  return telling;
}

const joinToo = `This machine has Docker or Podman. With --container NAME the chapter also joins a
  container that one of them runs.`;

/** The container that --container names; unless it is only printed, it must run. */
async function whichContainer(
  name: string,
  { print, yes }: { print?: boolean; yes?: boolean },
): Promise<Container> {
  try {
    return findContainer(name);
  } catch (error) {
    if (print)
      return { name, engine: { title: "Docker", command: "sudo docker" } };
    if (yes || process.getuid?.() === 0 || tryOut("sudo -n true").ok)
      throw error;
  }
  console.log("Who has that container, only root may ask here.");
  await handOver("sudo -v", {});
  return findContainer(name);
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
 * Tells a chapter from its first line to its last.
 *
 * @returns the programs that it starts in a root file system
 */
async function tell(
  teller: Teller,
  { header, needs = [], tale, source: foreign, image, container }: Telling,
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
      return (foreign ?? source).fill(directory, teller);
    },
    shell: foreign ? "sh" : "bash",
    image,
    container,
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
function printable(header: Header, script: string[]) {
  return [
    "#!/usr/bin/env bash",
    `# ${header.title}`,
    `# Printed by: ${header.run} --print`,
    "",
    "# For root on a machine without sudo.",
    'command -v sudo >/dev/null || sudo() { "$@"; }',
    ...script,
  ].join("\n");
}

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

/**
 * Tells a chapter in a directory of our own, and clears that however it ends.
 *
 * @param story tells it with what it is handed, or challenges of it
 */
async function walk(
  telling: Telling,
  lines: string[],
  programs: string[],
  hint: string,
  story: (
    tell: (telling: Telling) => Promise<unknown>,
    told: { claims: number },
  ) => Promise<unknown>,
) {
  const { header, ask, source, image, container } = telling;
  const privilege = findPrivilege();
  if (!ask && privilege === "sudo") requireSilentSudo();

  const { directory, shell } = openDirectory(privilege);
  let probed: Promise<void> | undefined;
  const probe = () => (probed ??= tryWhatIsNeeded(lines, shell, directory));
  const { teller, told, recover, authenticate } = guide(
    shell,
    privilege,
    ask,
    probe,
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
  if (image?.engine.command.startsWith("sudo")) {
    print("\nDocker's socket is root's here, so sudo asks it what it has.");
    await authenticate();
  }
  if (source) await lookInto(source, shell, programs, lines);
  if (hint) teller.say`${hint}`;
  const desk: Desk = { shell, privilege, ask, authenticate };
  await story((each) => tell(teller, each, desk), told).catch(
    (error: unknown) => {
      throw whyEarly(error, directory, container);
    },
  );
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

/** Looks for what a line cannot know about why it failed. */
function whyEarly(error: unknown, directory: string, container?: Container) {
  if (error instanceof Stopped) return error;
  const { bavail, bsize, ffree, files } = statfsSync(directory);
  // What a line left may be too small for the file that it could not write.
  if (bavail * bsize < 1e6 || (files > 0 && ffree === 0))
    return new Error(
      `The disk that ${directory} is on is full. Set TMPDIR to a directory on one with more room.`,
    );
  if (container && !isRunning(container))
    return new Error(`The container ${container.name} has stopped.`);
  return error;
}

/** Refuses a root file system that the chapter cannot be told with. */
async function lookInto(
  source: ForeignSource,
  shell: Shell,
  programs: string[],
  lines: string[],
) {
  print(`\nLooking at what is in ${source.title}.`);
  const typed = programs.map((name) => (name === "bash" ? "sh" : name));
  requireContents(source.title, await source.list(shell), typed, lines);
}

const rootless = `You are root in a user namespace only: outside of it you are who you
  were. Process 1 is the shell that this chapter runs in. When it ends, the kernel ends all others in here and takes
  every mount away. Out of reach stays what belongs to the real root, such as the host's mounts.`;

/** Starts this chapter again where the reader is root, and clears up after it. */
async function walkSandboxed({ ask, source }: Telling) {
  requireSandbox();
  const { directory, shell } = openDirectory("root");
  let unshare: number | undefined;
  let stopped: number | undefined;
  process.on("exit", () => {
    if (unshare) endSandbox(unshare);
    const left = clear(directory, shell, false);
    if (left) complain(left);
  });
  for (const [name, status] of Object.entries(signals))
    process.on(name, () => {
      if (!unshare) process.exit(status);
      stopped = status;
      // The chapter knows best how to stop, and sets the terminal right.
      for (const bash of children(unshare))
        for (const chapter of children(bash)) process.kill(chapter, name);
      setTimeout(() => process.exit(status), 3000).unref();
    });

  const again = process.argv.slice(1).filter((word) => word !== "--rootless");
  const { teller, recover } = guide(shell, "root", ask, async () => {});
  for (const left of leftovers()) await recover(left);
  if (source?.pack) {
    await source.pack(shell, teller);
    // Of an option that is given twice, the last one counts.
    again.push("--rootfs", join(directory, "image.tar"));
  }
  // Process 1 is a bash, whose job the chapter is: so it can take back the terminal.
  const job = ["bash", "-c", asJob('"$@"'), "bash"];
  const command = [...job, ...runtime(), ...again].map(quote).join(" ");
  const chapter = handOver(`exec ${sandbox} ${command}`, { TMPDIR: directory });
  unshare = chapter.pid;
  const { exitCode } = await chapter;
  unshare = undefined;
  process.exitCode = stopped ?? exitCode ?? 1;
}

/** Makes a directory of our own, and opens a shell in it. */
function openDirectory(privilege: Privilege) {
  let directory: string | undefined;
  try {
    directory = makeDirectory();
    return { directory, shell: openShell(directory, privilege) };
  } catch (error) {
    if (directory) rmSync(directory, { recursive: true });
    throw new CannotStart(
      `No work directory can be made in ${tmpdir()}: ${(error as Error).message}. Set TMPDIR to another directory.`,
    );
  }
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
