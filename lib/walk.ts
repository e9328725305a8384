/**
 * Telling a chapter from its first line to its last, in a directory of its own
 * that is gone afterwards, however it ends.
 */
import { existsSync, rmSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isatty } from "node:tty";
import { bold, red } from "kleur/colors";
import { quote } from "zx/core";
import type { Desk } from "./options/challenge.ts";
import { clear, leftovers, makeDirectory } from "./cleanup.ts";
import { isRunning, type Container, type Image } from "./options/engine.ts";
import type { Header } from "./header.ts";
import { children, idsAreMapped, runtime } from "./kernel.ts";
import {
  CannotStart,
  findPrivilege,
  requireExecutable,
  requireNamespaces,
  requireOverlay,
  requireSandbox,
  requireSilentSudo,
  sandbox,
} from "./preflight.ts";
import { requireContents, type ForeignSource, type Source } from "./rootfs.ts";
import { harmless, print, Stopped } from "./screen.ts";
import { asJob, handOver, openShell, tryOut, type Privilege, type Shell } from "./shell.ts";
import { guide, type Teller } from "./teller.ts";

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

export type Tale = (verbs: Verbs, desk?: Desk) => Promise<void>;

/** A chapter or a challenge of it, as the command line asks for it. */
export interface Telling {
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

/**
 * Tells a chapter from its first line to its last.
 *
 * @returns the programs that it starts in a root file system
 */
export async function tell(
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

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

/**
 * Tells a chapter in a directory of our own, and clears that however it ends.
 *
 * @param story tells it with what it is handed, or challenges of it
 */
export async function walk(
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
  const { teller, told, recover, authenticate } = guide(shell, privilege, ask, probe);
  process.on("exit", (status) => {
    const left = clear(directory, shell, told.sudo);
    if (left) process.exitCode = 1;
    if (left || (status !== 0 && told.lines > 0))
      complain(left ?? "Everything that was done so far is undone.");
    if (terminalIsGone()) hangUp();
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
  await story((each) => tell(teller, each, desk), told).catch((error: unknown) => {
    throw whyEarly(error, directory, container);
  });
}

/** Tries, as root, what a chapter's lines will need. */
async function tryWhatIsNeeded(lines: string[], shell: Shell, directory: string) {
  await requireNamespaces(shell);
  if (lines.some((line) => line.includes("overlay"))) await requireOverlay(shell, directory);
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
async function lookInto(source: ForeignSource, shell: Shell, programs: string[], lines: string[]) {
  print(`\nLooking at what is in ${source.title}.`);
  const typed = programs.map((name) => (name === "bash" ? "sh" : name));
  requireContents(source.title, await source.list(shell), typed, lines);
}

const rootless = `You are root in a user namespace only: outside of it you are who you
  were. Process 1 is the shell that this chapter runs in. When it ends, the kernel ends all others in here and takes
  every mount away. Out of reach stays what belongs to the real root, such as the host's mounts.`;

/** Starts this chapter again where the reader is root, and clears up after it. */
export async function walkSandboxed({ ask, source }: Telling) {
  requireSandbox();
  const { directory, shell } = openDirectory("root");
  let unshare: number | undefined;
  let stopped: number | undefined;
  process.on("exit", () => {
    if (unshare) endSandbox(unshare);
    const left = clear(directory, shell, false);
    if (left) complain(left);
    if (terminalIsGone()) hangUp();
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

/** Whether a terminal that we began with has been closed. */
function terminalIsGone(): boolean {
  const streams = [process.stdin, process.stdout, process.stderr];
  return streams.some(({ isTTY, fd }) => isTTY && !isatty(fd));
}

/**
 * Ends this process by SIGHUP, as a hang-up ends others. Node's own way out
 * would set the terminal right, and crash without it: nodejs/node#51519.
 */
function hangUp() {
  process.removeAllListeners("SIGHUP");
  process.kill(process.pid, "SIGHUP");
}

/** Writes to standard error, if there is anyone left to read it. */
export function complain(text: string) {
  // Names of files are in it, and what commands printed.
  const lines = text.split("\n").map(harmless);
  try {
    writeSync(2, `${red(lines.join("\n"))}\n`);
  } catch {
    // The terminal or the pipe is gone, and so is the reader.
  }
}
