/**
 * What reaches the reader's terminal: lines of text, and the one question there is, which is to
 * pick one of several.
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { isCancel, select } from "@clack/prompts";
import { wrapAnsi } from "fast-wrap-ansi";
import { red } from "kleur/colors";

const { TERM, LC_ALL, LC_CTYPE, LANG } = process.env;
const unicode = /UTF-?8/i.test(LC_ALL || LC_CTYPE || LANG || "");

/** What stands for the characters that we use beyond ASCII. */
const ascii: Record<string, string> = {
  ...{ "✔": "ok:", "✘": "NOT SO:", "·": "-", "…": "..." },
  ...{ "─": "-", "│": "|", "▲": "^", "▼": "v", "►": ">", "◄": "<" },
};

/** Writes a line, in ASCII where the locale has no more. See locale(7). */
export function print(text = "") {
  // Prose has no-break spaces where code must not be wrapped.
  const line = text.replaceAll("\u00a0", " ");
  // Corners and crossings of a drawing are all a +.
  console.log(
    unicode ? line : line.replace(/[✔✘·…\u2500-\u25ff]/g, (symbol) => ascii[symbol] ?? "+"),
  );
}

/** Wider prose is hard to follow; columns. */
export const readable = 88;

/** How wide the screen is; columns. */
export const columns = () => process.stdout.columns || readable;

/** Text in lines that fit, on the screen and to the eye. */
export const wrap = (text: string, indent = 0) =>
  wrapAnsi(text, Math.min(columns(), readable) - indent).replace(/\n/g, `\n${" ".repeat(indent)}`);

/** A line that others wrote, which might move the cursor or retitle the window. */
export const harmless = (line: string) => line.replace(/\t/g, "    ").replace(/\p{Cc}/gu, "?");

/** Ends this process when nobody is left to read it. */
export function endWithReader() {
  for (const stream of [process.stdin, process.stdout, process.stderr])
    // EPIPE: the reader of our output is gone. EIO: the terminal is.
    stream.on("error", ({ code }: NodeJS.ErrnoException) => process.exit(code === "EIO" ? 129 : 1));
}

/** Writes to standard error, if there is anyone left to read it. */
export function complain(text: string) {
  // Names of files are in it, and what commands printed.
  const lines = text.split("\n").map(harmless).join("\n");
  const { isTTY } = process.stderr;
  try {
    writeSync(2, `${isTTY || process.env.FORCE_COLOR ? red(lines) : lines}\n`);
  } catch {
    // The terminal or the pipe is gone, and so is the reader.
  }
}

/** The reader chose to stop. */
export class Stopped extends Error {}

interface Choice {
  value: string;
  label: string;
  hint?: string;
}

/**
 * Has the reader pick one of several at the terminal. The answer leaves no trace on the screen.
 *
 * @param first the value that Enter picks; the first one if left out
 * @returns the value of the one picked
 * @throws Stopped on Ctrl-C, on Esc and at the end of the input
 */
export async function pick(message: string, options: Choice[], first?: string): Promise<string> {
  print();
  if (TERM === "dumb" || !unicode) return pickByNumber(message, options, first);
  const answer = await select<string>({
    ...{ message, options, initialValue: first },
    ...{ showInstructions: false, withGuide: false },
  });
  if (isCancel(answer)) throw new Stopped();
  // What is left of it: the blank line above, the question, and the answer.
  const { label } = options.find(({ value }) => value === answer)!;
  const rows = [`◇  ${message}`, label].map(({ length }) => Math.ceil(length / columns()));
  process.stdout.write(`\x1b[${1 + rows[0]! + rows[1]!}A\x1b[J`);
  return answer;
}

/** The same, with a last choice: to stop. @throws Stopped then, too */
export async function pickOrStop(message: string, options: Choice[]): Promise<string> {
  const stop = { value: "stop", label: "Stop here", hint: "everything is undone" };
  const picked = await pick(message, [...options, stop]);
  if (picked === stop.value) throw new Stopped();
  return picked;
}

/** To pick one without moving the cursor and without symbols: in an editor, say, or by braille. */
async function pickByNumber(message: string, options: Choice[], first?: string) {
  const preset = Math.max(
    0,
    options.findIndex(({ value }) => value === first),
  );
  options.forEach(({ label }, index) => print(`  ${index + 1}  ${label}`));
  const terminal = createInterface({
    ...{ input: process.stdin, output: process.stdout, terminal: false },
  });
  const ended = new AbortController();
  terminal.on("close", () => ended.abort());
  try {
    for (;;) {
      const { signal } = ended;
      const answer = await terminal.question(`${message} [${preset + 1}] `, { signal });
      const picked = options[answer.trim() === "" ? preset : Number(answer) - 1];
      if (picked) return picked.value;
    }
  } catch {
    throw new Stopped();
  } finally {
    terminal.close();
  }
}
