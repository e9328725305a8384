/**
 * Leave nothing behind.
 *
 * @see umount(8), rm(1), proc_pid_root(5)
 */
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { quote } from "zx/core";
import { mountsBelow, startTime } from "./kernel.ts";
import type { Shell } from "./shell.ts";

/** Where directories of ours are made, without links in its path, as mountinfo has it. */
const temp = () => realpathSync(tmpdir());

/** A process for good: a pid may be used again, but not with the same start. */
const identify = (pid: number) => `${pid}.${startTime(pid)}`;

/** The pid namespace that those pids are of. */
const here = () => readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");

/** Makes a directory of our own, mode 0700, whose name tells whose it is. */
export function makeDirectory(): string {
  return mkdtempSync(
    join(temp(), `by-hand.${here()}.${identify(process.pid)}.`),
  );
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
      const [, place, pid, start] =
        /^by-hand\.(\d+)\.(\d+)\.(\d+)\.\w{6}$/.exec(name) ?? [];
      return place === here() && identify(Number(pid)) !== `${pid}.${start}`;
    })
    .map((name) => join(temp(), name))
    .filter((path) => {
      const stat = lstatSync(path, { throwIfNoEntry: false });
      return stat?.isDirectory() && stat.uid === process.getuid?.();
    });
}

/**
 * Clears a work directory: ends the processes that live in it (their root or
 * their working directory is below it), unmounts what is mounted below it,
 * latest first, and removes it without crossing into another file system.
 *
 * @param sudo whether root is needed for what was done in there
 * @returns undefined if it is gone, else a sentence that says what is left and
 *   how to remove it by hand. While one mount is left, nothing is removed.
 */
export function clear(
  directory: string,
  shell: Shell,
  sudo: boolean,
): string | undefined {
  const asRoot = sudo ? silentSudo() : "";

  for (let round = 0; round < 20; round++) {
    const pids = residents(directory, shell, asRoot);
    if (pids.length === 0) break;
    shell.runSync(`${asRoot}kill -9 ${pids.join(" ")}`);
  }
  for (const point of mountsBelow(directory).reverse()) {
    const umount = `${asRoot}umount ${quote(point)}`;
    // Busy: someone outside still holds a file. Let go of it when they do.
    if (!shell.runSync(umount).ok)
      shell.runSync(`${asRoot}umount --lazy ${quote(point)}`);
  }
  const mounts = mountsBelow(directory);
  if (mounts.length > 0)
    return `Still mounted, so nothing was removed: ${mounts.join(", ")}. Unmount it, then remove ${directory}.`;

  // An overlay's work directory has mode 000: its owner may open it, but must.
  if (!sudo)
    shell.runSync(
      `find ${quote(directory)} -xdev -type d ! -perm -u=rwx -exec chmod u+rwx {} ';'`,
    );
  shell.runSync(`${asRoot}rm -rf --one-file-system ${quote(directory)}`);
  if (existsSync(directory))
    return `This directory could not be removed: ${directory}. Its processes or its files may be left.`;
}

/** sudo for a clean-up: where no terminal is, nobody can answer it, so it must not ask. */
const silentSudo = () => (process.stdin.isTTY ? "sudo " : "sudo -n ");

/**
 * The processes, as pids, whose root or working directory is in a directory of ours.
 *
 * After pivot_root both read / from outside. Then it is the mount on a process's /
 * that names the directory. Others' mounts do not count: whoever was started
 * meanwhile in a mount namespace of its own may have a copy of ours.
 */
export function residents(
  directory: string,
  shell: Shell,
  asRoot: string,
): number[] {
  // Our directories' names are unique and free of glob characters; their parents' may not be.
  const name = basename(directory);
  const found = shell.runSync(
    `${asRoot}find /proc/[0-9]*/root /proc/[0-9]*/cwd -maxdepth 0 -lname '*/${name}*' 2>/dev/null; ` +
      `${asRoot}grep -slE '^([^ ]+ ){3}([^ ]*/${name}[^ ]* / |[^ ]+ / .*/${name})' /proc/[0-9]*/mountinfo`,
  );
  const pids = found.stdout.match(/(?<=^\/proc\/)\d+/gm) ?? [];
  return [...new Set(pids)].map(Number);
}
