/**
 * A chapter: its command line, and what comes of it.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { green } from "kleur/colors";
import { ProcessOutput } from "zx/core";
import { findContainer, requirePrograms, type Container } from "./options/engine.ts";
import { readHeader, type Header } from "./header.ts";
import { CannotStart, requireLinux, requireTools, sandbox } from "./preflight.ts";
import { parseSource } from "./rootfs.ts";
import { pick, print, Stopped } from "./screen.ts";
import { findProgram, handOver, tryOut } from "./shell.ts";
import { scribe } from "./teller.ts";
import { complain, tell, walk, walkSandboxed, type Tale, type Telling } from "./walk.ts";

export type { Verbs } from "./walk.ts";

/** What a chapter can do that not every chapter can. */
interface Abilities {
  /** It takes --container, and types these programs in that container. */
  joins?: string[];
}

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
export async function chapter(url: string, tale: Tale, abilities: Abilities = {}): Promise<void> {
  for (const stream of [process.stdin, process.stdout, process.stderr])
    // EPIPE: the reader of our output is gone. EIO: the terminal is.
    stream.on("error", ({ code }: NodeJS.ErrnoException) => process.exit(code === "EIO" ? 129 : 1));
  try {
    await start(url, tale, abilities);
  } catch (error) {
    process.exitCode = explain(error);
  }
}

async function start(url: string, tale: Tale, { joins }: Abilities) {
  const header = readHeader(fileURLToPath(url));
  const flags = readFlags(header);
  if (flags.help) return console.log(`${header.text}\n\n${help}`);
  if (flags.container && !joins)
    throw new CannotStart("This chapter joins no container. --container is for chapter 3.");
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
    container: flags.container ? await whichContainer(flags.container, flags) : undefined,
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
  requireTools([...lines, flags.rootless ? sandbox : ""], source ? source.programs : programs);
  const refusal = source?.image?.engine.refusal;
  if (refusal) throw new CannotStart(refusal);
  if (telling.container && joins) requirePrograms(telling.container, joins);
  if (flags.rootless) return walkSandboxed(telling);
  const hint = joins && !flags.container && ["docker", "podman"].some((name) => findProgram(name));
  await walk(telling, lines, programs, hint ? joinToo : "", async (tell, told) => {
    if (flags.challenge && telling.ask) return tell(await pickOne(tellings));
    for (const each of tellings) await tell(each);
    if (flags.challenge) return;
    const challenge = telling.ask && (await offerChallenge(url, telling));
    print(green(`\nTold to the end. Claims that held: ${told.claims}.`));
    if (challenge) await tell(challenge);
  });
}

/** A chapter's challenges, to be told like the chapter. */
async function challenges(url: string, chapter: Telling): Promise<Telling[]> {
  // Loaded when wanted only, so that a chapter starts as fast without.
  const { challengesOf, take, tellSolution } = await import("./options/challenge.ts");
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
    tale: (verbs, desk) => (desk ? take(challenge, verbs, desk) : tellSolution(challenge, verbs)),
  }));
}

/** Has the reader pick a challenge, or `none` if that is offered. */
async function pickOne(tellings: Telling[], none: string): Promise<Telling | undefined>;
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
  if (!existsSync(fileURLToPath(url.replace(/[^/]+$/, "challenges/$&")))) return;
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
    if (print) return { name, engine: { title: "Docker", command: "sudo docker" } };
    if (yes || process.getuid?.() === 0 || tryOut("sudo -n true").ok) throw error;
  }
  console.log("Who has that container, only root may ask here.");
  await handOver("sudo -v", {});
  return findContainer(name);
}

function readFlags(header: Header) {
  try {
    return parseArgs({ options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new CannotStart(`${(error as Error).message}\nUsage: ${header.run} ${usage}`);
  }
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

/** Says why a chapter ended early; returns its exit status. */
function explain(error: unknown): number {
  if (error instanceof Stopped) return 130;
  if (error instanceof ProcessOutput) {
    // Ctrl-C, and the line was gone before we heard of it.
    if (error.signal === "SIGINT") return 130;
    complain(
      `\nThe last line failed${error.signal ? `: ${error.signal}` : ` with exit status ${error.exitCode}`}.`,
    );
  } else {
    const { message, stack } = error as Error;
    complain(`\n${process.env.DEBUG ? stack : message}`);
  }
  return error instanceof CannotStart ? 2 : 1;
}
