/**
 * The verbs that a chapter is told with: all that its author meets.
 *
 * Prose is marked by rule: 'quotes' are code and **stars** are bold; flags (--fork), paths (/proc)
 * and man pages (proc(5)) are known by their looks.
 */
import type { ProcessOutput } from "zx/core";

export interface LineOptions {
  /** What the line changes on this machine. A line with `sudo` must say it. */
  changes?: string;
  /** How that is undone; left out, there is nothing to undo. */
  undo?: string;
  /**
   * The line that undoes what this one makes outside of the work directory. It stands in double
   * quotes and does no harm if there is nothing to undo. It is written down before the line is run,
   * and is itself run however the chapter ends.
   */
  undoneBy?: string;
  /** Go on when the line fails, because it is meant to. */
  nothrow?: boolean;
}

/** A template tag that takes its text as it is written, and may be given options first. */
export interface Tag<Result> {
  (strings: TemplateStringsArray, ...values: string[]): Result;
  (options: LineOptions): Tag<Result>;
}

/**
 * What a line typed in a shell printed; empty if the shell had ended before, or nothing is run.
 *
 * @param time which one, from 1, if the same line was typed more than once
 * @throws Error if no such line was typed
 */
export type Session = (line: string, time?: number) => string;

/** What was read: one thing, or several in any order. What is undefined was not there. */
export type Reading = string | ProcessOutput | (string | undefined)[] | undefined;

export interface Verbs {
  /** Prose, a paragraph. A line break in it is a blank, as in HTML. */
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
   * A line that opens a shell, and below it the lines typed in it, but for the last: `exit`.
   *
   * @throws ProcessOutput if the last one fails, unless `nothrow`
   */
  enter: Tag<Promise<Session>>;
  /**
   * A claim, proved by readings that are all the same.
   *
   * @param readings what was read, by where it was read
   * @throws Error if the claim does not hold; an empty reading proves nothing
   */
  same(claim: string, readings: Record<string, Reading>): void;
  /** A claim, proved by readings that are all different. Else as {@link Verbs.same}. */
  differ(claim: string, readings: Record<string, Reading>): void;
  /** A table: a list of cells for each row, the first of which is the head. */
  table(...rows: Reading[][]): void;
  /** Fills a directory with these programs of this machine, or with what --rootfs names. */
  rootfs(directory: string, ...programs: string[]): Promise<void>;
  /** The shell to start in it: bash where the programs are this machine's, else sh. */
  shell: "bash" | "sh";
  /**
   * What the kernel says of process 1 in the reader's container, beside Docker's: one table.
   *
   * @param line opens a shell in the reader's container
   * @param first goes to the directory of its process 1 in /proc, if that is not /proc/1
   * @param last undoes what `first` has done
   */
  beside(line: string, first?: string, last?: string): Promise<void>;
}

/** A chapter's story: one straight line, since it is also told without running anything. */
export type Story = (verbs: Verbs) => Promise<void>;

/** What fills a directory with a root file system. */
export interface Source {
  /** The programs of this machine that it is made of, or with. */
  programs: string[];
  /** Tells the lines that fill `directory`, which they make if it is not there. */
  fill(directory: string, verbs: Pick<Verbs, "say" | "$">): Promise<void>;
}
