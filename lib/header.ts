/**
 * What the comment at the top of a chapter says. It is the chapter's title, its opening, its text
 * for --help and its entry in the table of contents.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

export interface Header {
  title: string;
  /** Paragraphs, each as one line. */
  opening: string[];
  /** What of Docker it explains: the first sentence, without its end. */
  known: string;
  /** A drawing of at most 60 columns: what is indented by four, as in Markdown. */
  figure?: string;
  /** The command that runs the chapter. */
  run: string;
  /** Its man pages, as one line. */
  see: string;
  /** The tools that it takes besides those that preflight.ts knows: `nft (nftables)`, see there. */
  needs: string[];
  /** What is tried before its first step, by the names of the files in tries/. */
  tries: string[];
  /** The options that it takes and others do not. */
  takes: string[];
}

/** Reads a chapter's header: the title, the opening, a figure, and its `@` lines. */
export function readHeader(file: string): Header {
  const source = readFileSync(file, "utf8").replaceAll("\r\n", "\n");
  const comment = /\/\*\*\n([^]*?)\n \*\//.exec(source)?.[1] ?? "";
  const text = comment.replace(/^ \* ?/gm, "");
  const [title = "", ...blocks] = text.split(/\n\n(?!@)|\n\n?(?=@)/);
  const field = (name: string) => new RegExp(`^@${name} (.*)`, "m").exec(text)?.[1] ?? "";
  const words = (name: string) =>
    field(name)
      .split(/, (?![^(]*\))/)
      .filter(Boolean);
  const opening = blocks
    .filter((block) => !/^(@| {4})/.test(block))
    .map((block) => block.replace(/\s+/g, " "));
  return {
    ...{ title, opening },
    known: /^\*\*You know this:\*\* (.*?)[.?](?= |$)/.exec(opening[0] ?? "")?.[1] ?? "",
    figure: blocks.find((block) => block.startsWith("    "))?.replace(/^ {4}/gm, ""),
    ...{ run: field("run"), see: field("see") },
    ...{ needs: words("needs"), tries: words("tries"), takes: words("takes") },
  };
}

/** The chapters in a directory, as paths, in their order. */
export function chaptersIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^\d\d-[\w-]+\.ts$/.test(name))
    .sort()
    .map((name) => join(directory, name));
}

/** The chapter after this one; undefined after the last. */
export function nextChapter(file: string): Header | undefined {
  const chapters = chaptersIn(dirname(file));
  const place = chapters.findIndex((each) => basename(each) === basename(file));
  const next = place < 0 ? undefined : chapters[place + 1];
  return next ? readHeader(next) : undefined;
}

/** Where a chapter's further challenges are, if it has some. */
export const challengeFile = (file: string) => join(dirname(file), "challenges", basename(file));
