/**
 * Leave nothing behind.
 *
 * @see umount(8), rm(1), proc_pid_root(5)
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { quote } from "zx/core";
import { mountsBelow } from "./kernel.ts";
import type { Shell } from "./shell.ts";

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
  // Without a terminal nobody can answer sudo: then it must not ask.
  const asRoot = !sudo ? "" : process.stdin.isTTY ? "sudo " : "sudo -n ";

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

  shell.runSync(`${asRoot}rm -rf --one-file-system ${quote(directory)}`);
  if (existsSync(directory))
    return `This directory could not be removed: ${directory}. Its processes or its files may be left.`;
}

/** The processes, as pids, whose root or working directory is in a directory of ours. */
function residents(directory: string, shell: Shell, asRoot: string): string[] {
  // Our directories' names are unique and free of glob characters; their parents' may not be.
  const found = shell.runSync(
    `${asRoot}find /proc/[0-9]*/root /proc/[0-9]*/cwd -maxdepth 0 -lname '*/${basename(directory)}*' 2>/dev/null`,
  );
  return [
    ...new Set(
      found.stdout
        .split("\n")
        .filter(Boolean)
        .map((path) => path.split("/")[2]!),
    ),
  ];
}
