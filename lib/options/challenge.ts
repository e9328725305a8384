/**
 * Further challenges: a goal, a shell for the reader, and the kernel as the judge.
 *
 * A challenge has the name of its chapter, in `chapters/challenges`.
 */
import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { bold, dim, green, red, yellow } from "kleur/colors";
import { challengeFile, readHeader } from "../header.ts";
import { fileSystemOf } from "../kernel.ts";
import { CannotStart, NoRoot } from "../preflight.ts";
import { forScreen } from "../prose.ts";
import { pick, pickOrStop, print, wrap as wrapPlain } from "../screen.ts";
import type { Verbs } from "../verbs.ts";
import type { Desk, Lesson } from "../walk.ts";
import { openWorld, type World } from "./world.ts";

export interface Criterion<Subject> {
  text: string;
  /** Says whether it is met; if not, what the kernel shows instead. */
  met(subject: Subject, world: World): true | string;
}

/** A challenge; what may be the answer to it is its subject, often a process. */
export interface Challenge<Subject = unknown> {
  title: string;
  goal: string;
  /** Programs of this machine that it takes, besides those that every chapter needs. */
  needs?: string[];
  /** What is tried before it, besides what is for the chapter: names as in a header's `@tries`. */
  tries?: string[];
  /** Tells the lines that come before the reader's turn. */
  prepare(verbs: Verbs): Promise<void>;
  /** A line of shell, run unseen after that; what it prints is the world's memory. */
  remember?: string;
  /** All that may be the answer. It is solved once one of them meets every criterion. */
  subjects(world: World): Subject[];
  /** What the kernel shows when there is no subject. */
  nothing: string;
  criteria: Criterion<Subject>[];
  /** From a nudge to all but the line itself. */
  hints: string[];
  /** Tells the lines that solve it, one way of several. */
  solution(verbs: Verbs): Promise<void>;
  /** What the reader has just done, and what runtimes do. */
  afterwards: string;
}

/**
 * The challenges of a chapter.
 *
 * @param file the chapter's path
 * @throws CannotStart if it has none
 */
export async function readChallenges(file: string): Promise<Challenge[]> {
  if (!existsSync(challengeFile(file)))
    throw new CannotStart("This chapter has no further challenge.");
  const { href } = pathToFileURL(challengeFile(file));
  return ((await import(href)) as { challenges: Challenge[] }).challenges;
}

/** The same, to be told like the chapter. */
export async function challengesOf(file: string): Promise<Lesson[]> {
  const header = readHeader(file);
  return (await readChallenges(file)).map((challenge) => ({
    header: {
      ...{ ...header, figure: undefined, run: `${header.run} --challenge` },
      ...{ title: `Challenge: ${challenge.title}`, opening: [challenge.goal.replace(/\s+/g, " ")] },
      needs: challenge.needs ?? [],
      tries: [...header.tries, ...(challenge.tries ?? [])],
    },
    story: (verbs, desk) => (desk ? take(challenge, verbs, desk) : tellSolution(challenge, verbs)),
  }));
}

/** Has the reader pick one. */
export async function pickOne(lessons: Lesson[]): Promise<Lesson> {
  return lessons.length > 1 ? (await choose(lessons, []))! : lessons[0]!;
}

/** After a chapter: the challenge that the reader picks, if any. */
export async function offer(file: string): Promise<Lesson | undefined> {
  return choose(await challengesOf(file), ["Not now"]);
}

/** Has the reader pick a lesson, or one of some other answers; those come first to hand. */
async function choose(lessons: Lesson[], others: string[]): Promise<Lesson | undefined> {
  const titles = lessons.map(({ header }) => header.title.replace("Challenge: ", ""));
  const options = [...titles, ...others].map((title) => ({ value: title, label: title }));
  const picked = await pick("Take a further challenge?", options, others[0]);
  return lessons[titles.indexOf(picked)];
}

/** Tells a challenge and its solution. */
async function tellSolution(challenge: Challenge, verbs: Verbs) {
  await challenge.prepare(verbs);
  verbs.say`The solution.`;
  await challenge.solution(verbs);
  verbs.say`${challenge.afterwards}`;
}

/**
 * Has a challenge solved, by the reader or by its own solution, and judges that.
 *
 * @throws Stopped if the reader has had enough
 * @throws Error if there is no reader, and the solution meets not every criterion
 */
export async function take(challenge: Challenge, verbs: Verbs, desk: Desk) {
  const { shell, ask } = desk;
  if (desk.privilege === "sudo" && /hidepid=[^0o]/.test(fileSystemOf("/proc").superOptions))
    throw new NoRoot(
      "/proc is mounted with hidepid here and shows you only your own processes, so nobody could judge what root's do. Until the next boot: sudo mount -o remount,hidepid=0 /proc.",
    );
  await challenge.prepare(verbs);
  if (desk.privilege === "sudo")
    verbs.say`The kernel shows root more than you, so whether you are there is looked up with sudo.`;
  await desk.authenticate();
  const { stdout: directory } = await shell.run(`printf %s "$PWD"`);
  const memory = challenge.remember ? (await shell.run(challenge.remember)).stdout : "";
  const asRoot = desk.privilege === "sudo" ? "sudo -n " : "";

  print("\n" + bold("What will be looked at, whichever way you take:"));
  for (const { text } of challenge.criteria) print(wrap(`· ${text}`));
  const watcher = watch(challenge, openWorld(directory, memory, asRoot));
  process.on("exit", watcher.stop);
  try {
    let hints = 0;
    let answer = ask ? "again" : "solution";
    while (!watcher.solved()) {
      if (answer === "again") {
        print(
          dim(
            wrap(
              `\nA shell of your own. ${elsewhere(directory)}Each point is ticked off as you get there. Leave: exit`,
            ),
          ),
        );
        watcher.attended = true;
        await shell.atTerminal("bash");
        watcher.attended = false;
        watcher.look();
        if (!watcher.solved()) watcher.report();
      } else if (answer === "hint") {
        print("\n" + wrap(challenge.hints[hints++]!.replace(/\s+/g, " ")));
      } else {
        await showSolution();
        if (!watcher.solved()) {
          watcher.report();
          throw new Error("The solution does not meet every point here.");
        }
      }
      if (!watcher.solved()) answer = await whatNow(hints);
    }
  } finally {
    watcher.stop();
    process.off("exit", watcher.stop);
  }
  print("\n" + green("Solved."));
  verbs.say`${challenge.afterwards}`;

  async function showSolution() {
    shell.moment = async (typed) => {
      watcher.look();
      // What was typed takes its time, and so does who is on the way from one state to another.
      for (let waited = 0; (typed || !watcher.isSettled()) && !watcher.solved() && waited < 5000;) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        waited += 50;
        watcher.look();
      }
    };
    try {
      await challenge.solution(verbs);
    } finally {
      shell.moment = undefined;
    }
  }

  function whatNow(hints: number) {
    const more = challenge.hints.length - hints;
    const again = { value: "again", label: "Try again", hint: "in a shell" };
    const hint = { value: "hint", label: "A hint", hint: `there are ${more}` };
    const solution = { value: "solution", label: "The solution", hint: "line by line" };
    return pickOrStop("What now?", [again, ...(more > 0 ? [hint] : []), solution]);
  }
}

const wrap = (text: string) => wrapPlain(forScreen(text));

/** In a sandbox, another terminal is in another world. */
function elsewhere(directory: string): string {
  return process.pid === 1
    ? ""
    : `Another terminal will do, too: cd ${directory} (without variables such as $PID). `;
}

/** How long the watcher rests: at least, and at most, in milliseconds; and as a multiple of a look. */
const interval = 500;
const patience = 5000;
const share = 60;

/**
 * Looks at the kernel now and then, and prints each criterion as it is met.
 *
 * It looks when something has happened only, and rests sixty times as long, so that it takes less
 * than 2 % of a core; but no reader waits longer than five seconds, however slow the machine is.
 */
export function watch(challenge: Challenge, { look, pulse }: ReturnType<typeof openWorld>) {
  let best: (true | string)[] = [];
  let ticked = new Set<number>();
  let lastPulse = "";
  let timer: NodeJS.Timeout;
  let isSettled = true;
  const points = (answers: (true | string)[]) => answers.filter((answer) => answer === true).length;
  const solved = () => points(best) === challenge.criteria.length;

  /** Judges all that may be the answer; what is nearest to it counts. */
  function judge() {
    if (solved()) return;
    const world = look();
    isSettled = world.isSettled;
    const answers = tryTo(() => challenge.subjects(world), [])
      .map((subject) => challenge.criteria.map(({ met }) => tryTo(() => met(subject, world), odd)))
      .reduce((one, other) => (points(other) >= points(one) ? other : one), []);
    if (answers.length === 0 || points(answers) < points(best)) return;
    best = answers;
    const now = new Set(answers.keys());
    for (const index of now) {
      if (answers[index] !== true) now.delete(index);
      else if (!ticked.has(index)) announce(green("✔"), challenge.criteria[index]!.text);
    }
    ticked = now;
    if (solved() && watcher.attended)
      announce(green("✔"), "That is all of it. Leave the shell: exit");
  }

  let used = process.cpuUsage();

  function tick() {
    const start = performance.now();
    const now = pulse();
    if (now !== lastPulse) judge();
    lastPulse = now;
    // Node's other threads work for it too, and not only meanwhile.
    const { user, system } = process.cpuUsage(used);
    used = process.cpuUsage();
    const took = Math.max(performance.now() - start, (user + system) / 1000);
    timer = setTimeout(tick, Math.min(patience, Math.max(interval, share * took)));
    timer.unref();
  }

  const watcher = {
    /** Whether the reader is in a shell. */
    attended: false,
    look: judge,
    solved,
    /** Whether the last look saw all processes. */
    isSettled: () => isSettled,
    stop: () => clearTimeout(timer),
    /** Says which criteria are open, and what the kernel shows instead. */
    report() {
      print("\n" + bold("Not yet:"));
      if (best.length === 0) print(wrap(`  ${challenge.nothing}`));
      challenge.criteria.forEach(({ text }, index) => {
        const answer = best[index];
        if (answer === true) print(wrap(`${green("✔")} ${text}`));
        else
          print(wrap(`${red("✘")} ${text}`) + (answer ? `\n${wrap(yellow(`    ${answer}`))}` : ""));
      });
    },
    /** The answers of what came nearest, a `true` for each criterion that was met. */
    answers: () => best,
  };
  tick();
  return watcher;
}

/** What nobody thought of, such as a file that is a directory now, is no answer, and no end. */
const odd = "Something in it is not of the kind that this asks for.";

function tryTo<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch {
    return otherwise;
  }
}

/** Prints a line above what is being typed; the terminal may be in raw mode. */
function announce(symbol: string, text: string) {
  const line = `${symbol} ${forScreen(text)}`;
  print(process.stdout.isTTY ? `\r\x1b[K${line}\r` : line);
}
