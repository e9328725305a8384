/**
 * What reaches the reader's terminal: lines of text, and the one question there
 * is, which is to pick one of several.
 */
import { createInterface } from "node:readline/promises";
import { isCancel, select } from "@clack/prompts";

const { TERM, LC_ALL, LC_CTYPE, LANG } = process.env;
const unicode = /UTF-?8/i.test(LC_ALL || LC_CTYPE || LANG || "");

/** What stands for the characters that we use beyond ASCII. */
const ascii: Record<string, string> = {
  "✔": "ok:",
  "✘": "NOT SO:",
  "─": "-",
  "·": "-",
  "…": "...",
};

/** Writes a line, in ASCII where the locale has no more. See locale(7). */
export function print(text = "") {
  console.log(unicode ? text : text.replace(/[✔✘─·…]/g, (symbol) => ascii[symbol]!));
}

/** A line that others wrote, which might move the cursor or retitle the window. */
export const harmless = (line: string) => line.replace(/\t/g, "    ").replace(/\p{Cc}/gu, "?");

/** The reader chose to stop. */
export class Stopped extends Error {}

export interface Choice {
  value: string;
  label: string;
  hint?: string;
}

/**
 * Has the reader pick one of several at the terminal.
 *
 * @param first the value that Enter picks; the first one if left out
 * @returns the value of the one picked
 * @throws Stopped on Ctrl-C, on Esc and at the end of the input
 */
export async function pick(message: string, options: Choice[], first?: string): Promise<string> {
  if (TERM === "dumb" || !unicode) return pickByNumber(message, options, first);
  const answer = await select<string>({
    message,
    options,
    initialValue: first,
    showInstructions: false,
    withGuide: false,
  });
  if (isCancel(answer)) throw new Stopped();
  return answer;
}

/** The same without moving the cursor and without symbols: in an editor, say, or by braille. */
async function pickByNumber(message: string, options: Choice[], first?: string) {
  const preset = Math.max(
    0,
    options.findIndex(({ value }) => value === first),
  );
  options.forEach(({ label }, index) => print(`  ${index + 1}  ${label}`));
  const terminal = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: false,
  });
  const ended = new AbortController();
  terminal.on("close", () => ended.abort());
  try {
    for (;;) {
      const { signal } = ended;
      const answer = await terminal.question(`${message} [${preset + 1}] `, {
        signal,
      });
      const picked = options[answer.trim() === "" ? preset : Number(answer) - 1];
      if (picked) return picked.value;
    }
  } catch {
    throw new Stopped();
  } finally {
    terminal.close();
  }
}
