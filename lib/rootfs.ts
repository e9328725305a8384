/**
 * The lines that build a root file system.
 *
 * @see ldd(1), hier(7)
 */
import { askLdd, copyListed, parseAnswers } from "./ldd.ts";
import type { Teller } from "./teller.ts";

/** Where a root file system comes from. */
export interface Source {
  /** The programs of this machine that it is made of. */
  programs: string[];
  /** Tells the lines that fill `directory`, which they make if it is not there. */
  fill(directory: string, teller: Teller): Promise<void>;
}

/**
 * A root file system of programs copied from this machine, each with the
 * libraries that it needs, and an empty `proc` to mount /proc on.
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
