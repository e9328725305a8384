/**
 * Leave nothing behind.
 *
 * @see umount(8), rm(1), proc_pid_root(5)
 */
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { quote } from "zx/core";
import { mountsBelow, stat } from "./kernel.ts";
import type { Shell } from "./shell.ts";

/** Where directories of ours are made, without links in its path, as mountinfo has it. */
const temp = () => realpathSync(tmpdir());

/** The pid namespace that those pids are of. */
const here = () => readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");

/** Makes a directory of our own, mode 0700, whose name tells whose it is. */
export function makeDirectory(): string {
  return mkdtempSync(join(temp(), `by-hand.${here()}.${stat(process.pid)!.identity}.`));
}

/**
 * The directories of ours that a killed chapter of this user left.
 *
 * Not among them: links, other users' directories, those whose chapter still
 * runs, and those from another pid namespace, of which that cannot be told.
 */
export function leftovers(): string[] {
  return readdirSync(temp())
    .filter((name) => {
      const [, place, pid, start] = /^by-hand\.(\d+)\.(\d+)\.(\d+)\.\w{6}$/.exec(name) ?? [];
      return place === here() && stat(Number(pid))?.identity !== `${pid}.${start}`;
    })
    .map((name) => join(temp(), name))
    .filter((path) => {
      const stat = lstatSync(path, { throwIfNoEntry: false });
      return stat?.isDirectory() && stat.uid === process.getuid?.();
    });
}

/** In a directory of ours: the lines that undo what was made outside of it. */
const undo = "undo";

/**
 * Writes down, before something is made outside of a shell's directory, how it
 * is undone. {@link clear} does that, for a chapter that was killed, too.
 *
 * @param line a line of shell that may be run although nothing was made. What
 *   it expands to now is written down: the variables may be gone by then.
 */
export async function register(line: string, shell: Shell) {
  const { stdout } = await shell.run(`printf %s "${line}"`);
  const file = join(shell.directory, undo);
  appendFileSync(file, `${stdout}\n`, { mode: 0o600 });
}

/** The lines that were registered in a directory of ours. */
export function registered(directory: string): string[] {
  const file = join(directory, undo);
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8").split("\n").filter(Boolean);
}

/**
 * Clears a work directory: runs the lines that undo what was made elsewhere, ends the processes that live in it (their root or their working directory is below
 * it), unmounts what is mounted below it, latest first, and removes it without
 * crossing into another file system.
 *
 * @param sudo whether root is needed for what was done in there
 * @returns undefined if it is gone, else a sentence that says what is left and
 *   how to remove it by hand. While one mount is left, nothing is removed.
 */
export function clear(directory: string, shell: Shell, sudo: boolean): string | undefined {
  const asRoot = sudo ? silentSudo() : "";

  // What is killed may have started others meanwhile, so look again.
  shell.runSync(
    `for round in {1..20}; do pids=$(${findResidents(directory, asRoot)}); [ "$pids" ] || break; ${asRoot}kill -9 $pids; done`,
  );
  for (const line of registered(directory)) {
    const silent = line.replaceAll("sudo ", silentSudo());
    if (!shell.runSync(`set -o pipefail; ${silent}`).ok)
      return `This could not be undone: ${line}. Run it yourself, then remove ${directory}.`;
  }
  const umount = (flags: string) => {
    const points = mountsBelow(directory).reverse().map(quote);
    return points.length === 0 || shell.runSync(`${asRoot}umount ${flags} ${points.join(" ")}`).ok;
  };
  // Busy: someone outside still holds a file. Let go of it when they do.
  if (!umount("")) umount("--lazy");
  const mounts = mountsBelow(directory);
  if (mounts.length > 0)
    return `Still mounted, so nothing was removed: ${mounts.join(", ")}. Unmount it, then remove ${directory}.`;

  // An overlay's work directory has mode 000: its owner may open it, but must.
  const open = `find ${quote(directory)} -xdev -type d ! -perm -u=rwx -exec chmod u+rwx {} ';' 2>/dev/null; `;
  shell.runSync(`${sudo ? "" : open}${asRoot}rm -rf --one-file-system ${quote(directory)}`);
  if (existsSync(directory))
    return `This directory could not be removed: ${directory}. Its processes or its files may be left.`;
}

/** sudo for a clean-up: where no terminal is, nobody can answer it, so it must not ask. */
const silentSudo = () => (process.stdin.isTTY ? "sudo " : "sudo -n ");

/** The processes, as pids, whose root or working directory is in a directory of ours. */
export function residents(directory: string, shell: Shell, asRoot: string): number[] {
  const found = shell.runSync(findResidents(directory, asRoot));
  return (found.stdout.match(/\d+/g) ?? []).map(Number);
}

/**
 * The line that prints the pids of {@link residents}.
 *
 * After pivot_root both read / from outside. Then it is the mount on a process's /
 * that names the directory. Others' mounts do not count: whoever was started
 * meanwhile in a mount namespace of its own may have a copy of ours.
 */
function findResidents(directory: string, asRoot: string): string {
  // Where /proc hides other users' processes (hidepid), only root's own find sees them all.
  const files = asRoot
    ? "/proc -mindepth 2 -maxdepth 2 '(' -name root -o -name cwd -o -name mountinfo ')'"
    : "/proc/[0-9]*/root /proc/[0-9]*/cwd /proc/[0-9]*/mountinfo -maxdepth 0";
  // Our directories' names are unique and free of glob characters; their parents' may not be.
  const name = basename(directory);
  const onRoot = `^([^ ]+ ){3}([^ ]*/${name}[^ ]* / |[^ ]+ / .*/${name})`;
  return `${asRoot}find ${files} '(' -lname '*/${name}*' -print -o -name mountinfo -exec grep -slE '${onRoot}' {} + ')' 2>/dev/null | cut -d/ -f3 | sort -u`;
}
