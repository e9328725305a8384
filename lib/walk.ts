/**
 * Telling a chapter from its first line to its last, in a directory of its own that is gone
 * afterwards, however it ends.
 */
import { closeSync, openSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { isatty } from "node:tty";
import { clear, leftovers, makeDirectory } from "./cleanup.ts";
import { tellFacts, type Other } from "./facts.ts";
import { guide, type Tally } from "./guide.ts";
import type { Header } from "./header.ts";
import { idsAreMapped } from "./kernel.ts";
import type { Page } from "./pages.ts";
import { CannotStart, findPrivilege, requireExecutable, tryOutAll } from "./preflight.ts";
import { hostPrograms } from "./rootfs.ts";
import { complain, Stopped } from "./screen.ts";
import { openShell, type Privilege, type Shell } from "./shell.ts";
import { tellOn, type Doer } from "./tell.ts";
import type { Source, Verbs } from "./verbs.ts";

/** What is told: a chapter, or a challenge of it. */
export interface Lesson {
  header: Header;
  /** @param desk what there is when it is told for real, and not only written down */
  story(verbs: Verbs, desk?: Desk): Promise<void>;
  /** The chapter that comes after it. */
  next?: Header;
  /** How many headings it has, once that is known. */
  parts?: number;
  /** How many rows of the table were equal, once it has been told. */
  rows?: string;
}

/** Who tells a lesson for real, and with what. */
export interface Desk {
  shell: Shell;
  privilege: Privilege;
  /** Whether there is a reader to ask. */
  ask: boolean;
  /** Has sudo ask for its password, if it must. */
  authenticate(): Promise<void>;
}

/** What the options on the command line ask for. */
export interface Asked {
  /** Whether there is a reader to ask. */
  ask: boolean;
  /** What root file systems are made of in place of this machine's programs. */
  source?: Source;
  /** Tells how an engine's container is come by, to stand beside the reader's. */
  beside?(verbs: Verbs): Promise<Other>;
  /**
   * Looks, before the first step, at what was asked for.
   *
   * @throws CannotStart
   */
  look?(desk: Desk, rehearsal: Rehearsal): Promise<void>;
  /** For where no engine is in reach: packs an image into a file, and returns its path. */
  pack?(shell: Shell, doer: Doer): Promise<string>;
  /** Why a line failed, if that can be told from outside; undefined if not. */
  whyEarly?(): string | undefined;
}

/** What is known of lessons from telling them without running anything. */
export interface Rehearsal {
  /** Their lines of shell. */
  lines: string[];
  /** The programs that they start in their root file systems. */
  programs: string[];
  /** What is tried before the first step, see {@link Header}. */
  tries: string[];
}

/**
 * Tells a lesson.
 *
 * @returns the programs that it starts in its root file systems
 */
export async function tell(
  page: Page,
  doer: Doer,
  lesson: Lesson,
  { source, beside }: Asked,
  desk?: Desk,
) {
  const { header, story, next, parts = 0 } = lesson;
  const teller = tellOn(page, doer);
  const { say, part, $ } = teller;
  const started: string[] = [];
  const verbs: Verbs = {
    ...teller,
    rootfs(directory, ...programs) {
      started.push(...programs);
      return (source ?? hostPrograms(...programs)).fill(directory, teller);
    },
    shell: source ? "sh" : "bash",
    async beside(...line) {
      lesson.rows = await tellFacts(verbs, await beside?.(verbs), ...line);
    },
  };

  page.begin(header, parts);
  if (desk && idsAreMapped())
    say`You are root in a user namespace only: outside of it you are who you were. Process 1 is the
      shell that this chapter runs in. When it ends, the kernel ends everything that it started and
      takes every mount away. What belongs to the real root, such as the host's mounts, is out of
      reach.`;
  say`Everything happens in a directory of its own, which is removed at the end.`;
  await $`WORK=$(mktemp -d --tmpdir by-hand.XXXXXX); cd "$WORK"`;
  await story(verbs, desk);
  await part`Leave nothing behind`;
  say`Never remove a directory with something mounted below it, because 'rm' would descend into it. So
    look first. If 'grep' prints a mount, nothing is removed: unmount that, and try again.`;
  await $({
    changes: "the chapter's directory is removed, with all that is in it",
    undo: "not needed, this is what undoes the rest",
  })`cd ..; grep "$(basename "$WORK")" /proc/self/mountinfo || sudo rm -rf --one-file-system "$WORK"`;
  page.end(header, next);
  return started;
}

/** What ends a chapter besides itself, and the exit status that a shell gives for it. */
export const signals = { SIGINT: 130, SIGQUIT: 131, SIGTERM: 143, SIGHUP: 129 };

/**
 * Tells lessons in a directory of our own, and clears that however it ends.
 *
 * @param story tells the lessons that it picks, with what it is handed
 */
export async function walk(
  page: Page,
  asked: Asked,
  rehearsal: Rehearsal,
  story: (tellOne: (lesson: Lesson) => Promise<unknown>, tally: Tally) => Promise<unknown>,
) {
  const { ask } = asked;
  const { privilege, silent } = findPrivilege(ask);
  // Before there is anything that an end by default would leave.
  for (const [signal, status] of Object.entries(signals))
    process.on(signal, () => process.exit(status));
  const { directory, shell } = openDirectory(privilege);
  let trial: Promise<void> | undefined;
  const tried = (begin: boolean) => (begin ? (trial ??= tryOutAll(rehearsal.tries, shell)) : trial);
  const { doer, tally, recover, authenticate } = guide(shell, privilege, ask, tried);
  tally.sudo = silent && privilege === "sudo";
  clearAtExit(directory, shell, tally);

  requireExecutable(directory);
  for (const left of leftovers()) await recover(left);
  // At a terminal while the reader reads; a refusal waits for the first answer.
  if (silent) tried(true)!.catch(() => {});
  if (silent && (!ask || asked.look)) await tried(true);
  const desk: Desk = { shell, privilege, ask, authenticate };
  await asked.look?.(desk, rehearsal);
  const tellOne = async (lesson: Lesson) => {
    // A challenge that was picked after its chapter may take more than that.
    const more = lesson.header.tries.filter((name) => !rehearsal.tries.includes(name));
    if (more.length > 0) await tryOutAll(more, shell);
    return tell(page, doer, lesson, asked, desk);
  };
  await story(tellOne, tally).catch((error: unknown) => {
    throw whyEarly(error, directory, asked);
  });
}

/** Clears a directory of our own as this process ends, however that is. */
export function clearAtExit(directory: string, shell: Shell, did: Pick<Tally, "lines" | "sudo">) {
  process.on("exit", (status) => {
    const left = clear(directory, shell, did.sudo);
    if (left) process.exitCode = 1;
    if (left || (status !== 0 && did.lines > 0))
      complain(`\n${left ?? "Everything that was done so far is undone."}`);
    leaveTerminal();
  });
}

/** Looks for what a line cannot know about why it failed. */
function whyEarly(error: unknown, directory: string, asked: Asked) {
  if (error instanceof Stopped) return error;
  const { bavail, bsize, ffree, files } = statfsSync(directory);
  // What a line left may be too small for the file that it could not write.
  if (bavail * bsize < 1e6 || (files > 0 && ffree === 0))
    return new Error(
      `The disk that ${directory} is on is full. Set TMPDIR to a directory on one with more room.`,
    );
  const why = asked.whyEarly?.();
  return why ? new Error(why) : error;
}

/** Makes a directory of our own, and opens a shell in it. */
export function openDirectory(privilege: Privilege) {
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

/**
 * As the last thing of all: if the terminal that we began with is gone, ends this process by SIGHUP,
 * as a hang-up ends others; if not, lets go of it. Node sets it right on its own way out, and aborts
 * if it has been closed by then: nodejs/node#51519.
 */
function leaveTerminal() {
  const streams = [process.stdin, process.stdout, process.stderr].filter(({ isTTY }) => isTTY);
  if (streams.some(({ fd }) => !isatty(fd))) {
    process.removeAllListeners("SIGHUP");
    process.kill(process.pid, "SIGHUP");
  }
  try {
    // Who closes a terminal as the last one hangs it up, so hold it.
    if (streams.length > 0) openSync("/dev/tty", "r+");
    streams.forEach(({ fd }) => closeSync(fd));
  } catch {
    // It is gone by now.
  }
}
