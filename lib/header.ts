/**
 * What the comment at the top of a chapter says. It is the chapter's title, its
 * text for --help and its entry in the table of contents.
 */
import { readFileSync } from "node:fs";

export interface Header {
  /** The whole comment, without its frame. */
  text: string;
  title: string;
  summary: string;
  /** The command that runs the chapter. */
  run: string;
  /** Its man pages, as one line. */
  pages: string;
}

/** Reads a chapter's header: a title, a summary, `@run` and `@see`. */
export function readHeader(file: string): Header {
  const comment = /\/\*\*\n([^]*?)\n \*\//.exec(readFileSync(file, "utf8"));
  const text = (comment?.[1] ?? "").replace(/^ \* ?/gm, "");
  const [title = "", summary = ""] = text.split("\n\n");
  const field = (name: string) => new RegExp(`^@${name} (.*)`, "m").exec(text)?.[1] ?? "";
  return { text, title, summary, run: field("run"), pages: field("see") };
}
