/**
 * Who runs every line: asks before a privileged one, runs it, and checks every claim.
 */
import { statfsSync } from "node:fs";
import { bold, dim, magenta } from "kleur/colors";
import { clear, register, registered, residents } from "./cleanup.ts";
import { commandLine, mountsBelow } from "./kernel.ts";
import { NoRoot } from "./preflight.ts";
import { forScreen } from "./prose.ts";
import { harmless, pick, pickOrStop, print, wrap } from "./screen.ts";
import type { Privilege, Shell } from "./shell.ts";
import { isPrivileged, type Doer } from "./tell.ts";

/** What happened so far: lines run, claims that held, and whether sudo answers without a password. */
export interface Tally {
  lines: number;
  claims: number;
  sudo: boolean;
}

/**
 * Makes the doer that runs every line, and what goes with it.
 *
 * @param ask whether there is a reader to ask; if not, every step is run
 * @param tried what is tried before the chapter needs it: resolves if all is well, and rejects if
 *   the chapter cannot run here. `begin` says whether to begin with it if that has not been done.
 */
export function guide(
  shell: Shell,
  privilege: Privilege,
  ask: boolean,
  tried: (begin: boolean) => Promise<void> | undefined,
) {
  const tally: Tally = { lines: 0, claims: 0, sudo: false };

  /** Asks what to do, until the answer is not to look around. */
  async function choose(message: string, choices: Record<string, string>) {
    const options = [
      ...Object.entries(choices).map(([value, label]) => ({ value, label })),
      { value: "look", label: "Look around first", hint: "in a shell" },
    ];
    for (;;) {
      const answer = await pickOrStop(message, options);
      if (answer !== "look") return answer;
      print(dim("\nA shell of your own, in the chapter's directory. Leave: exit"));
      await shell.atTerminal("bash");
    }
  }

  /** Has sudo ask for its password now, at the terminal, and not amid a line. */
  async function authenticate() {
    if (privilege === "root" || tally.sudo) return;
    const granted =
      (await shell.aside("sudo -n true")).ok || (await shell.atTerminal("sudo -v")).ok;
    if (!granted) throw new NoRoot("sudo refused, so the chapter stops here.", 1);
    tally.sudo = true;
  }

  const doer: Doer = {
    async pause() {
      if (!ask) return;
      await choose("Go on?", { on: "Go on" });
      // Not before sudo has the password that it asks for.
      await tried(false);
    },

    async agree(line, { changes, undo, undoneBy }, typed) {
      tally.lines++;
      const privileged = isPrivileged(line);
      let choice = "run";
      if (ask && privileged) {
        note("changes", changes!);
        note("undone", undo ?? "there is nothing to undo");
      }
      if (ask && (privileged || typed))
        choice = await choose(
          privileged ? "Run it as root?" : "Run it?",
          typed
            ? { run: "Have the lines typed for you", type: "Type them yourself" }
            : { run: "Run it" },
        );
      if (privileged) {
        await authenticate();
        await tried(true);
      }
      if (undoneBy) await register(undoneBy, shell);
      if (choice === "type") {
        print("\nType these, or whatever you like:\n");
        typed!.forEach((each) => print(bold(magenta(each))));
        print();
        await shell.atTerminal(line);
        print("\nThe same lines once more, so that there is a record of them:");
      }
    },

    run: (line, typed) =>
      typed ? shell.run(line, typed) : withProgress(shell.run(line), shell.directory),

    judge(claim, holds) {
      if (!holds) throw new Error(`This claim does not hold: ${claim}`);
      tally.claims++;
    },
  };

  /** Offers to clear a directory that a killed chapter left. */
  async function recover(directory: string) {
    const { ours, others } = residents(directory, shell, tally.sudo ? "sudo -n " : "");
    print("\n" + wrap("A chapter that was killed has left this behind:") + "\n");
    for (const line of [
      `directory  ${directory}`,
      ...mountsBelow(directory).map((point) => `mount      ${point}`),
      ...registered(directory).map((line) => `to be run  ${line}`),
      ...ours.map((pid) => `process    ${pid} ${commandLine(pid)}`),
      ...others.map((pid) => `not of it  ${pid} ${commandLine(pid)}`),
    ])
      print(`  ${harmless(line)}`);
    if (ask) {
      const options = [
        { value: "clear", label: "Clear it" },
        { value: "leave", label: "Leave it as it is" },
      ];
      if ((await pick("Clear what was left?", options)) === "leave") return;
    }
    await authenticate();
    print("\n" + (clear(directory, shell, tally.sudo) ?? "It is cleared."));
  }

  return { doer, tally, recover, authenticate };
}

/** A remark below a line, with a word in the margin. */
const note = (word: string, text: string) =>
  print(dim(`  ${word.padEnd(9)}${wrap(forScreen(text), 11)}`));

/** At a terminal, says now and then that something is under way, and how much it has written. */
async function withProgress<T>(deed: Promise<T>, directory: string) {
  if (!process.stdout.isTTY) return deed;
  const { bsize } = statfsSync(directory);
  const free = () => statfsSync(directory).bfree * bsize;
  const [before, began] = [free(), Date.now()];
  const timer = setInterval(() => {
    const seconds = Math.round((Date.now() - began) / 1000);
    const megabytes = Math.max(0, Math.round((before - free()) / 1e6));
    // At 1, 2, 4, 8, … seconds: a line that does not come back can be read aloud.
    if (Number.isInteger(Math.log2(seconds)))
      print(dim(`  … ${seconds} s, ${megabytes} MB more on the disk`));
  }, 1000);
  return deed.finally(() => clearInterval(timer));
}
