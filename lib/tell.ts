/**
 * The verbs, made of who carries out what they say (a doer) and what they are told on (a page).
 */
import { ProcessOutput } from "zx/core";
import type { Page } from "./pages.ts";
import type { LineOptions, Reading, Session, Tag, Verbs } from "./verbs.ts";

/** The verbs that every teller has; a chapter is told with all of {@link Verbs}. */
type Teller = Omit<Verbs, "rootfs" | "shell" | "beside">;

/** Who carries out what is told. */
export interface Doer {
  /** Lets the reader say when to go on. */
  pause(): Promise<void>;
  /** Has the reader agree to a line that was shown, and to the lines `typed` in its shell. */
  agree(line: string, options: LineOptions, typed?: string[]): Promise<void>;
  run(line: string, typed?: string[]): Promise<ProcessOutput>;
  /** @throws Error if a claim does not hold, unless nothing was read */
  judge(claim: string, holds: boolean): void;
}

/** Runs nothing, and reads nothing. */
export const nobody: Doer = {
  async pause() {},
  async agree() {},
  run: async () => new ProcessOutput(0, null, "", ""),
  judge() {},
};

export function tellOn(page: Page, doer: Doer): Teller {
  const claims =
    (relation: "same" | "differ") => (claim: string, readings: Record<string, Reading>) => {
      const read = Object.entries(readings).map(([where, what]): [string, string] => [
        where,
        canonical(what),
      ]);
      const distinct = new Set(read.map(([, value]) => value)).size;
      const holds =
        read.length > 1 &&
        read.every(([, value]) => value) &&
        distinct === (relation === "same" ? 1 : read.length);
      page.claim(claim, holds, doer === nobody ? [] : read);
      doer.judge(claim, holds);
    };

  return {
    say: (strings, ...values) => page.prose(fold(strings, values)),

    async part(strings) {
      await doer.pause();
      page.heading(fold(strings, []));
    },

    $: tag(async (line, options) => {
      page.line(line, false);
      await doer.agree(line, options);
      const output = await doer.run(line);
      page.output(output.stdall);
      if (!output.ok && !options.nothrow) throw output;
      return output;
    }),

    enter: tag(async (block, options) => {
      const [line = "", ...typed] = block.trim().split(/\n\s*/);
      const lines = [...typed, "exit"];
      page.line(line, true);
      await doer.agree(line, options, lines);
      const output = await doer.run(line, lines);
      const [greeting = "", ...printed] = split(output.stdout, lines);
      page.output(greeting);
      lines.forEach((each, index) => page.typed(each, printed[index]));
      page.closed();
      if (!output.ok && !options.nothrow) throw output;
      return session(typed, printed);
    }),

    same: claims("same"),
    differ: claims("differ"),

    table: (...rows) =>
      page.table(
        rows.map((row) => row.map((cell) => (cell === undefined ? "-" : canonical(cell)))),
      ),
  };
}

/** Whether a line uses root's rights. */
export const isPrivileged = (line: string) => /\bsudo\b/.test(line);

/** Makes a tag of what is done with the options and the text. */
function tag<Result>(
  use: (line: string, options: LineOptions) => Result,
  options: LineOptions = {},
): Tag<Result> {
  return ((first: TemplateStringsArray | LineOptions, ...values: string[]) => {
    if (!Array.isArray(first)) return tag(use, first as LineOptions);
    const line = asTyped(String.raw(first as TemplateStringsArray, ...values));
    if (isPrivileged(line) && !options.changes)
      throw new Error(`This line does not say what it changes: ${line}`);
    return use(line, options);
  }) as Tag<Result>;
}

/**
 * A line as one types it. One that goes on below, as a here-document does, loses the indentation that
 * the chapter has there; and `\${`, which a template cannot do without, its backslash.
 */
function asTyped(text: string): string {
  const indents = [...text.matchAll(/\n( *)(?=\S)/g)].map(([, blanks = ""]) => blanks.length);
  const margin = " ".repeat(Math.min(...indents, 80));
  return text.replaceAll(`\n${margin}`, "\n").replaceAll("\\${", "${");
}

/** Prose as one line. Not of the raw strings, where Bun escapes a `·`: oven-sh/bun#8745. */
function fold(strings: TemplateStringsArray, values: unknown[]): string {
  return String.raw({ raw: strings }, ...values)
    .replace(/\s+/g, " ")
    .trim();
}

/** Sorts 9 before 10. (Intl's collator does, too, and takes 8 ms to load.) */
const byLength = (a: string, b: string) => a.length - b.length || (a < b ? -1 : 1);

/** A reading as text, so that two can be compared and shown. */
function canonical(reading: Reading): string {
  if (reading instanceof ProcessOutput) return reading.stdout.trim();
  if (!Array.isArray(reading)) return (reading ?? "").trim();
  const things = reading.map((thing) => (thing ?? "").trim());
  // A list in which one is missing proves as little as an empty one.
  if (things.length === 0 || things.includes("")) return "";
  return things.sort(byLength).join(", ");
}

/**
 * Takes a typed session apart: each line was echoed above what it printed.
 *
 * @returns what came before the first line, then what each line printed; fewer than were typed if
 *   the shell ended early
 */
function split(printed: string, typed: string[]): string[] {
  const pieces: string[][] = [[]];
  for (const line of printed.split("\n"))
    if (line === typed[pieces.length - 1]) pieces.push([]);
    else pieces.at(-1)!.push(line);
  return pieces.map((lines) => lines.join("\n"));
}

/** What was printed, by the line that was typed. */
function session(typed: string[], printed: string[]): Session {
  return (line, time = 1) => {
    const places = [...typed.keys()].filter((index) => typed[index] === line);
    const place = places[time - 1];
    if (place === undefined) throw new Error(`This line was not typed ${time} times: ${line}`);
    return printed[place] ?? "";
  };
}
