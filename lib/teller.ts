/**
 * The verbs that a chapter is told with, and the two who tell it: a guide that
 * runs every line, and a scribe that writes them down as a bash script.
 */
import { statfsSync } from "node:fs";
import { wrapAnsi } from "fast-wrap-ansi";
import { bold, cyan, dim, green, red } from "kleur/colors";
import { ProcessOutput } from "zx/core";
import { clear, register, registered, residents } from "./cleanup.ts";
import { commandLine, mountsBelow } from "./kernel.ts";
import { offerRootless } from "./preflight.ts";
import { harmless, pick, print, Stopped } from "./screen.ts";
import type { Privilege, Shell } from "./shell.ts";

export interface LineOptions {
  /** What the line changes on this machine. A line with `sudo` must say it. */
  changes?: string;
  /** How that is undone; left out, there is nothing to undo. */
  undo?: string;
  /**
   * The line that undoes what this one makes outside of the work directory,
   * in double quotes and harmless if there is nothing to undo. It is written
   * down first, and run however the chapter ends.
   */
  undoneBy?: string;
  /** Go on when the line fails, because it is meant to. */
  nothrow?: boolean;
}

/** A template tag that takes its text as it is written, and may be given options first. */
interface Tag<Result> {
  (strings: TemplateStringsArray, ...values: string[]): Result;
  (options: LineOptions): Tag<Result>;
}

/** What was read from the kernel: one thing, or several in no order. Undefined was not there. */
export type Reading = string | (string | undefined)[] | undefined;

export interface Teller {
  /** Prose. A line break in it is a blank, as in HTML. */
  say(strings: TemplateStringsArray, ...values: unknown[]): void;
  /** A heading. At a terminal the reader says when to go on. */
  part(strings: TemplateStringsArray): Promise<void>;
  /**
   * A line of shell, run by bash as it stands.
   *
   * @throws ProcessOutput if the line fails, unless `nothrow`
   */
  $: Tag<Promise<ProcessOutput>>;
  /**
   * A line that opens a shell, then the lines typed in it, `exit` after the last.
   *
   * @returns what each of them printed, in order
   * @throws ProcessOutput if the last one fails, unless `nothrow`
   */
  enter: Tag<(...typed: string[]) => Promise<string[]>>;
  /**
   * A claim, proved by readings that are all the same or all different.
   *
   * @param readings what was read, by where it was read
   * @throws Error if the claim does not hold; an empty reading proves nothing
   */
  see(claim: string, relation: "same" | "differ", readings: () => Record<string, Reading>): void;
  /** A table: its head, and a list of cells for each row. */
  table(head: string[], rows: () => string[][]): void;
}

/** Whether a line uses root's rights. */
function isPrivileged(line: string): boolean {
  return /\bsudo\b/.test(line);
}

/** Makes a tag of what is done with the options and the text. */
function tag<Result>(
  use: (line: string, options: LineOptions) => Result,
  options: LineOptions = {},
): Tag<Result> {
  return ((first: TemplateStringsArray | LineOptions, ...values: string[]) => {
    if (!Array.isArray(first)) return tag(use, first as LineOptions);
    const line = String.raw(first as TemplateStringsArray, ...values);
    if (isPrivileged(line) && !options.changes)
      throw new Error(`This line does not say what it changes: ${line}`);
    return use(line, options);
  }) as Tag<Result>;
}

/** Prose as one line. Not of the raw strings, where Bun escapes a `·`: oven-sh/bun#8745. */
function fold(strings: TemplateStringsArray, values: unknown[]): string {
  return String.raw({ raw: strings }, ...values)
    .replace(/\s+/g, " ")
    .trim();
}

/** Wider prose is hard to follow; columns. */
const readable = 88;
/** Longer output is cut on the screen; lines. */
const shown = 12;

const columns = () => process.stdout.columns || readable;
const wrap = (text: string) => wrapAnsi(text, Math.min(columns(), readable));
const printCommand = (line: string) => print("\n" + bold(cyan(line)));

/** Prints what a line printed: indented, and cut where it is too long for the screen. */
function printOutput(text: string) {
  if (text.trim() === "") return;
  const lines = text.replace(/\n+$/, "").split("\n");
  const width = columns() - 2;
  for (const line of lines.length > shown + 1 ? lines.slice(0, shown) : lines) {
    const plain = harmless(line);
    print("  " + (plain.length > width ? plain.slice(0, width - 1) + "…" : plain));
  }
  if (lines.length > shown + 1)
    print(dim(`  … and ${lines.length - shown} more lines, not shown here`));
}

/** At a terminal, says now and then that something is under way, and how much it has written; seconds. */
async function withProgress<T>(deed: Promise<T>, directory: string) {
  const blocks = () => statfsSync(directory).bfree;
  const { bsize } = statfsSync(directory);
  const [before, began] = [blocks(), Date.now()];
  const timer = setInterval(() => {
    const seconds = Math.round((Date.now() - began) / 1000);
    const written = Math.round(((before - blocks()) * bsize) / 1e6);
    // At 1, 2, 4, 8, … seconds: a line that does not come back can be read aloud.
    if (Number.isInteger(Math.log2(seconds)))
      print(dim(`  … ${seconds} s, ${Math.max(0, written)} MB more on the disk`));
  }, 1000);
  if (!process.stdout.isTTY) clearInterval(timer);
  return deed.finally(() => clearInterval(timer));
}

/**
 * Tells by doing: shows each line, asks before a privileged one, runs it,
 * prints what came of it and checks every claim.
 *
 * @param ask whether there is a reader to ask; if not, every step is run
 * @param probe is called before the first line that runs as root
 */
export function guide(
  shell: Shell,
  privilege: Privilege,
  ask: boolean,
  probe: () => Promise<void>,
) {
  /** What happened so far: lines run, claims that held, and whether sudo was used. */
  const told = { lines: 0, claims: 0, sudo: false };

  /** Asks what to do, until the answer is not to look around. */
  async function choose(message: string, choices: Record<string, string>) {
    const options = [
      ...Object.entries(choices).map(([value, label]) => ({ value, label })),
      { value: "look", label: "Look around first", hint: "in a shell" },
      { value: "stop", label: "Stop here", hint: "all of it is undone" },
    ];
    for (;;) {
      const answer = await pick(message, options);
      if (answer === "stop") throw new Stopped();
      if (answer !== "look") return answer;
      print(dim("A shell of your own, in the chapter's directory. Leave: exit"));
      await shell.atTerminal("bash");
    }
  }

  /** Shows a line; before it may run, the reader has agreed to what it changes. */
  async function consent(
    line: string,
    { changes, undo, undoneBy }: LineOptions,
    choices: Record<string, string>,
  ) {
    printCommand(line);
    told.lines++;
    const privileged = isPrivileged(line);
    let choice = "run";
    if (ask && (privileged || Object.keys(choices).length > 1)) {
      if (privileged)
        print(wrap(`\nChanges: ${changes}.\nUndone: ${undo ?? "there is nothing to undo"}.`));
      print();
      choice = await choose(privileged ? "Run it as root?" : "Run it?", choices);
      print();
    }
    if (privileged) {
      await authenticate();
      await probe();
    }
    if (undoneBy) await register(undoneBy, shell);
    return choice;
  }

  /** Has sudo ask for its password now, at the terminal, and not amid a line. */
  async function authenticate() {
    if (privilege === "root" || told.sudo) return;
    const granted = (await shell.run("sudo -n true")).ok || (await shell.atTerminal("sudo -v")).ok;
    if (!granted) throw new Error(`sudo refused, so the chapter stops here. ${offerRootless()}`);
    told.sudo = true;
  }

  /** Offers to clear a directory that a killed chapter left. */
  async function recover(directory: string) {
    const { ok } = await shell.run("sudo -n true");
    const lives = residents(directory, shell, ok ? "sudo -n " : "");
    print("\n" + wrap("A chapter that was killed has left this behind:") + "\n");
    for (const line of [
      `directory  ${directory}`,
      ...mountsBelow(directory).map((point) => `mount      ${point}`),
      ...registered(directory).map((line) => `to be run  ${line}`),
      ...lives.map((pid) => `process    ${pid} ${commandLine(pid)}`),
    ])
      print(`  ${harmless(line)}`);
    print();
    if (ask) {
      const options = [
        { value: "clear", label: "Clear it" },
        { value: "leave", label: "Leave it as it is" },
      ];
      const answer = await pick("Clear what was left?", options);
      if (answer === "leave") return;
    }
    await authenticate();
    print(clear(directory, shell, told.sudo) ?? "It is cleared.");
  }

  const teller: Teller = {
    say: (strings, ...values) => print("\n" + wrap(fold(strings, values))),

    async part(strings) {
      if (ask) {
        print();
        await choose("Go on?", { on: "Go on" });
      }
      print("\n" + bold(`── ${fold(strings, [])}`));
    },

    $: tag(async (line, options) => {
      await consent(line, options, { run: "Run it" });
      const output = await withProgress(shell.run(line), shell.directory);
      printOutput(output.stdall);
      if (!output.ok && !options.nothrow) throw output;
      return output;
    }),

    enter: tag((line, options) => async (...typed) => {
      const lines = [...typed, "exit"];
      const choice = await consent(line, options, {
        run: "Have the lines typed for you",
        type: "Type them yourself",
      });
      if (choice === "type") {
        print("Type these, or whatever you like:\n");
        lines.forEach((each) => print(bold(cyan(each))));
        print();
        await shell.atTerminal(line);
        print("\nThe same lines once more, so that there is a record of them:");
      }
      const output = await shell.run(line, lines);
      const [greeting = "", ...printed] = split(output.stdout, lines);
      printOutput(greeting);
      printed.forEach((text, index) => {
        printCommand(lines[index]!);
        printOutput(text);
      });
      if (!output.ok && !options.nothrow) throw output;
      return printed;
    }),

    see(claim, relation, readings) {
      const read = readings();
      const entries = Object.entries(read).map(
        ([where, what]) => [where, canonical(what)] as const,
      );
      const values = entries.map(([, value]) => value);
      const distinct = new Set(values).size;
      const holds =
        values.length > 1 &&
        values.every(Boolean) &&
        distinct === (relation === "same" ? 1 : values.length);
      print("\n" + wrap(`${holds ? green("✔") : red("✘")} ${claim}`));
      const widest = Math.max(...entries.map(([where]) => where.length));
      for (const [where, value] of entries)
        printOutput(`  ${where.padEnd(widest)}  ${value || "(nothing)"}`);
      if (!holds) throw new Error(`This claim does not hold: ${claim}`);
      told.claims++;
    },

    table(head, rows) {
      const all = [head, ...rows()];
      const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
      const lines = all.map((row) =>
        row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join("  ")
          .trimEnd(),
      );
      print();
      printOutput(lines.join("\n"));
    },
  };
  return { teller, told, recover, authenticate };
}

/** Sorts 9 before 10. (Intl's collator does, too, and takes 8 ms to load.) */
const byLength = (a: string, b: string) => a.length - b.length || (a < b ? -1 : 1);

/** A reading as text, so that two can be compared and shown. */
function canonical(reading: Reading): string {
  if (!Array.isArray(reading)) return (reading ?? "").trim();
  const things = reading.map((thing) => (thing ?? "").trim());
  // A list in which one is missing proves as little as an empty one.
  if (things.length === 0 || things.includes("")) return "";
  return `${things.length}: ${things.sort(byLength).join(" ")}`;
}

/**
 * Takes a typed session apart: each line was echoed above what it printed.
 *
 * @returns what came before the first line, then what each line printed; fewer
 *   than were typed if the shell ended early
 */
function split(session: string, typed: string[]): string[] {
  const pieces: string[][] = [[]];
  for (const line of session.split("\n"))
    if (line === typed[pieces.length - 1]) pieces.push([]);
    else pieces.at(-1)!.push(line);
  return pieces.map((lines) => lines.join("\n"));
}

/**
 * Tells by writing down; runs nothing and reads nothing.
 *
 * @returns besides the teller, the lines of a bash script as they come, and
 *   among them the lines of shell alone
 */
export function scribe() {
  const script: string[] = [];
  const lines: string[] = [];
  const comment = (text: string) => script.push("", wrapAnsi(text, 76).replace(/^/gm, "# "));
  const nothing = new ProcessOutput(0, null, "", "");

  const teller: Teller = {
    say: (strings, ...values) => comment(fold(strings, values)),

    async part(strings) {
      comment(`── ${fold(strings, [])}`);
    },

    $: tag(async (line) => {
      lines.push(line);
      script.push("", line);
      return nothing;
    }),

    enter: tag((line) => async (...typed) => {
      lines.push(line, ...typed, "exit");
      script.push("", `${line} <<'INSIDE'`, ...typed, "exit", "INSIDE");
      return [];
    }),

    see: (claim) => comment(`✔ ${claim}`),

    table: (head) => comment(`A table: ${head.join(", ")}`),
  };
  return { teller, script, lines };
}
