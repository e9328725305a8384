/**
 * A root file system of this machine's programs, each with what ldd says that it needs.
 *
 * @see ldd(1), ld.so(8), elf(5), hier(7)
 */
import { closeSync, openSync, readSync } from "node:fs";
import type { Source } from "./verbs.ts";

/**
 * Programs copied from this machine with the libraries that they need, and an empty `proc` to mount
 * /proc on.
 */
export function hostPrograms(...programs: string[]): Source {
  return {
    programs,
    async fill(directory, { $ }) {
      await $`mkdir -p ${directory}/proc`;
      // Before anything is copied: what ldd could not find, it only mentions.
      parseAnswers((await $`${askLdd(programs)}`).stdout);
      await $`${copyListed(directory)}`;
    },
  };
}

/**
 * The files that a program needs in order to start: its loader and its libraries.
 *
 * Written for glibc's ldd and for musl's, whose answers differ in where the
 * loader stands. Entries without a path, such as the vdso, are the kernel's.
 *
 * @param program the path of the program that ldd was asked about
 * @param answer what ldd printed, its standard error included
 * @param head the first bytes of the program; read from the file if left out
 * @returns absolute paths, each once, in ldd's order; none for a static program
 * @throws Error naming the program, if a library was not found or does not fit, or it is a script
 */
export function parseLdd(program: string, answer: string, head?: string): string[] {
  const missing =
    /^\s*(\S+) => not found/m.exec(answer) ?? /Error loading shared library (\S+):/.exec(answer);
  if (missing)
    throw new Error(
      `${program} needs the library ${missing[1]}, and this machine does not have it. Reinstall the package that ${program} came from.`,
    );
  // In ld.so's own words: a library is of another kind, or too old.
  const unfit =
    /error while loading shared libraries: .*/.exec(answer) ??
    /\S+: version `.*' not found/.exec(answer);
  if (unfit) throw new Error(`${program} cannot start here: ${unfit[0]}.`);
  const files = [...new Set(answer.match(/\/[^\s:]+/g))];
  // glibc's ldd says so in the reader's language, and names no file; musl's names its loader.
  if (files.length > 0 && !/not a valid dynamic/i.test(answer)) return files;
  const start = head ?? firstBytes(program);
  const interpreter = /^#!\s*(\S+)/.exec(start);
  if (interpreter)
    throw new Error(
      `${program} is a script for ${interpreter[1]}: it has no libraries of its own, and does not start without ${interpreter[1]}.`,
    );
  if (!start.startsWith("\x7fELF")) throw new Error(`${program} is not a program.`);
  return [];
}

/** The first 128 bytes of a file, one character each: enough for a `#!` line. */
function firstBytes(file: string): string {
  const descriptor = openSync(file, "r");
  try {
    const bytes = Buffer.alloc(128);
    return bytes.toString("latin1", 0, readSync(descriptor, bytes));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * The line that asks ldd about each of these programs and keeps what it says.
 * Above each answer stands the question: `ldd`, and the program's path.
 */
export function askLdd(programs: string[]): string {
  return `type -P ${programs.join(" ")} | xargs --max-args=1 --verbose ldd |& tee libraries.txt`;
}

/**
 * What the line of {@link askLdd} printed, as a list of files for each program.
 *
 * @throws Error as {@link parseLdd}
 */
export function parseAnswers(printed: string): Map<string, string[]> {
  const answers = printed.split(/^ldd /m).slice(1);
  return new Map(
    answers.map((answer) => {
      const [program = ""] = answer.split("\n", 1);
      return [program, parseLdd(program, answer.slice(program.length))];
    }),
  );
}

/**
 * The line that copies every program and library that {@link askLdd} kept: each
 * to the path it has on the host, where the kernel and the loader look for it.
 */
export function copyListed(rootfs: string): string {
  return `grep -o '/[^ :]*' libraries.txt | sort -u | xargs cp --parents --target-directory=${rootfs}`;
}
