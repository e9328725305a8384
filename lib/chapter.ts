/**
 * A chapter: its command line, and what comes of it.
 *
 * What an option asks for lives in a room of its own in options/, and is loaded when asked for.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { green } from "kleur/colors";
import { ProcessOutput } from "zx/core";
import { challengeFile, nextChapter, readHeader, type Header } from "./header.ts";
import { screen, script } from "./pages.ts";
import { CannotStart, NoRoot, requireLinux, requireTools } from "./preflight.ts";
import { forScreen } from "./prose.ts";
import { complain, endWithReader, print, Stopped, wrap } from "./screen.ts";
import { nobody } from "./tell.ts";
import type { Story } from "./verbs.ts";
import { signals, tell, walk, type Asked, type Lesson, type Rehearsal } from "./walk.ts";

export type { Verbs } from "./verbs.ts";

const options = {
  yes: { type: "boolean", short: "y" },
  print: { type: "boolean", short: "p" },
  rootless: { type: "boolean" },
  rootfs: { type: "string", default: "host" },
  container: { type: "string" },
  from: { type: "string" },
  challenge: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  // For lib/dev/readme.ts: the chapter as a section of the README, with --print without its output.
  markdown: { type: "boolean" },
} as const;

const usage =
  "[--yes | --print | --help] [--rootless] [--rootfs SOURCE] [--container NAME] [--from IMAGE] [--challenge]";

const help = `Options
  -y, --yes            ask nothing, run every step; needs no terminal
  -p, --print          print the chapter as a bash script; start nothing
      --rootless       be root in a user namespace instead of using sudo
      --rootfs SOURCE  what root file systems are made of:
                       host                         programs of this machine (default)
                       busybox                      its BusyBox
                       docker:IMAGE, podman:IMAGE   an image
                       PATH.tar[.gz|.xz|.zst]       an archive
      --container NAME chapter 3: join this running Docker or Podman container, too
      --from IMAGE     chapter 10: make its first layer of an image in a registry,
                       HOST[:PORT]/NAME[:TAG]
      --challenge      take a further challenge of this chapter; with --yes or --print,
                       be shown how each is solved
  -h, --help           show this text

Exit status
  0  told to the end     1  a step failed or a claim did not hold
  2  cannot start: usage, platform, a missing tool, no terminal and no --yes
  130, 143, 129, 131  stopped: Ctrl-C or "stop here", SIGTERM, SIGHUP, SIGQUIT`;

/**
 * Tells a chapter as its command line asks for, and sets the exit status.
 *
 * @param url the chapter's `import.meta.url`: the comment at the top of that file is its title, its
 *   opening and its list of man pages, see header.ts
 * @param story one straight line, with no branch on what a step printed, since it is also told
 *   without running anything
 */
export async function chapter(url: string, story: Story): Promise<void> {
  endWithReader();
  try {
    await start(url, story);
  } catch (error) {
    process.exitCode = await explain(error);
  }
}

async function start(url: string, story: Story) {
  const file = fileURLToPath(url);
  const header = readHeader(file);
  const flags = readFlags(header);
  if (flags.help) return printHelp(header);
  refuseCombinations(flags, header);

  const asked: Asked = { ask: !(flags.yes || flags.print || flags.markdown) };
  if (!flags.print) {
    requireLinux();
    if (asked.ask && !(process.stdin.isTTY && process.stdout.isTTY))
      throw new CannotStart(
        "There is no terminal to ask at. Use --yes to run every step unasked, or --print to see them all.",
      );
  }
  if (/^(docker|podman):/.test(flags.rootfs))
    (await import("./options/engine.ts")).useImage(asked, flags.rootfs, flags);
  else if (flags.rootfs !== "host")
    (await import("./options/rootfs.ts")).useSource(asked, flags.rootfs);
  if (flags.from) (await import("./options/registry.ts")).useRegistry(asked, flags.from);
  if (flags.container)
    await (await import("./options/engine.ts")).useContainer(asked, flags.container, flags);
  const chapter: Lesson = { header, story, next: nextChapter(file) };
  // Loaded when wanted only, so that a chapter starts as fast without.
  const challenges = () => import("./options/challenge.ts");
  let lessons = flags.challenge ? await (await challenges()).challengesOf(file) : [chapter];

  const paper = flags.markdown && (await import("./dev/markdown.ts")).markdown();
  if (flags.print) {
    const { text } = await rehearse(lessons, asked);
    if (!paper) return console.log(printable(lessons[0]!.header, text));
    await tell(paper, nobody, chapter, asked);
    return console.log(paper.text());
  }

  if (flags.rootless)
    return (await import("./options/rootless.ts")).walkSandboxed(asked, header.tries);
  if (flags.challenge && asked.ask) lessons = [await (await challenges()).pickOne(lessons)];
  const rehearsal = await rehearse(lessons, asked);
  requireToolsOf(lessons, rehearsal, asked);
  await walk(paper || screen(), asked, rehearsal, async (tellOne, tally) => {
    for (const lesson of lessons) await tellOne(lesson);
    if (paper) return console.log(paper.text());
    if (flags.challenge) return;
    if (asked.ask) (await import("./told.ts")).remember(file, chapter.rows ?? "");
    const offered = asked.ask && existsSync(challengeFile(file));
    const next = offered && (await (await challenges()).offer(file));
    if (next) requireToolsOf([next], await rehearse([next], asked), asked);
    print(green(`\nTold to the end. Claims that held: ${tally.claims}.`));
    if (next) await tellOne(next);
  });
}

/**
 * Tells lessons without running anything, to know what is in them.
 *
 * @returns the script that was written, too, a line each
 */
async function rehearse(lessons: Lesson[], asked: Asked): Promise<Rehearsal & { text: string[] }> {
  const { page, text, lines, parts } = script();
  const programs: string[] = [];
  for (const lesson of lessons) {
    programs.push(...(await tell(page, nobody, lesson, asked)));
    lesson.parts = parts();
  }
  return { text, lines, programs, tries: lessons.flatMap(({ header }) => header.tries) };
}

/** Refuses to start without the tools that these lessons take. */
function requireToolsOf(lessons: Lesson[], { lines, programs }: Rehearsal, { source }: Asked) {
  const needs = lessons.flatMap(({ header }) => header.needs);
  requireTools(lines, needs, source ? source.programs : programs);
}

function readFlags(header: Header) {
  try {
    return parseArgs({ options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new CannotStart(`${(error as Error).message}\nUsage: ${header.run} ${usage}`);
  }
}

function refuseCombinations(flags: ReturnType<typeof readFlags>, { takes }: Header) {
  if (flags.container && !takes.includes("--container"))
    throw new CannotStart("This chapter joins no container. --container is for chapter 3.");
  if (flags.from && !takes.includes("--from"))
    throw new CannotStart("This chapter pulls no image. --from is for chapter 10.");
  if (flags.from && (flags.print || flags.rootfs !== "host"))
    throw new CannotStart(
      flags.print
        ? "--print starts nothing, so it cannot know the layers of an image that has yet to be pulled. Leave out --from."
        : "--from says what the first layer is made of, and so does --rootfs. Leave out one of them.",
    );
  if (flags.container && flags.rootless)
    throw new CannotStart(
      "--container takes root: from a user namespace of your own you cannot join a container that is outside of it. Leave out --rootless.",
    );
  if (flags.challenge && (flags.container || flags.from || flags.rootfs !== "host"))
    throw new CannotStart(
      "A challenge is made of this machine's own programs. Leave out --rootfs, --from and --container.",
    );
}

function printHelp({ title, opening, figure, run, see }: Header) {
  print(title);
  opening.forEach((text) => print("\n" + wrap(forScreen(text))));
  if (figure) print(`\n${figure}`);
  print(`\nUsage: ${run} [options]\nMan pages: ${see}\n\n${help}`);
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
async function explain(error: unknown): Promise<number> {
  if (error instanceof Stopped) return 130;
  if (error instanceof ProcessOutput) {
    // Ctrl-C or Ctrl-\, and the line was gone before we heard of it.
    if (error.signal === "SIGINT" || error.signal === "SIGQUIT") return signals[error.signal];
    const how = error.signal ?? `exit status ${error.exitCode}`;
    complain(`\nThe last line failed: ${how}.`);
    return 1;
  }
  const { message, stack } = error as Error;
  const way = error instanceof NoRoot ? await (await import("./options/rootless.ts")).offer() : "";
  complain(`\n${process.env.DEBUG ? stack : message} ${way}`.trimEnd());
  return error instanceof CannotStart ? error.status : 1;
}
