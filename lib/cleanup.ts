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
import { commandLine, mountsBelow, stat } from "./kernel.ts";
import { mark, type Shell } from "./shell.ts";

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
 * @throws what bash answered, if it was ended: then nothing may be made
 */
export async function register(line: string, shell: Shell) {
  const written = await shell.run(`printf %s "${line}"`);
  if (!written.ok) throw written;
  const file = join(shell.directory, undo);
  appendFileSync(file, `${written.stdout}\n`, { mode: 0o600 });
}

/** The lines that were registered in a directory of ours. */
export function registered(directory: string): string[] {
  const file = join(directory, undo);
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8").split("\n").filter(Boolean);
}

/**
 * Clears a work directory: ends the chapter's processes in it, runs the lines that undo what was
 * made elsewhere, unmounts what is mounted below it, latest first, and removes it without crossing
 * into another file system. Who came there by themselves is asked to leave (SIGHUP), no more.
 *
 * @param sudo whether root is needed for what was done in there
 * @returns undefined if it is gone, else a sentence that says what is left and how to remove it by
 *   hand. While one mount or one stranger is left, nothing is removed.
 */
export function clear(directory: string, shell: Shell, sudo: boolean): string | undefined {
  const asRoot = sudo ? silentSudo() : "";
  const look = findResidents(directory, asRoot);

  // What is killed may have started others meanwhile, or have ended just after that, so look until
  // two looks find the same. And what is just becoming another program has no environment for a moment:
  // a stranger is who is one twice.
  const end = `${look}; [ ! "$ours" ] || ${asRoot}kill -9 $ours 2>/dev/null`;
  const { stdout: strangers } = shell.runSync(
    `before=?; for round in {1..20}; do ${end}; [ "$ours" ] || [ "$others" != "$before" ] || break; before=\${ours:+?}$others; done; echo $others`,
  );
  for (const line of registered(directory)) {
    // For root it is a function of the shell's, which takes no options.
    const silent = sudo ? line.replaceAll("sudo ", asRoot) : line;
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

  if (pids(strangers).length > 0) {
    const { stdout } = shell.runSync(
      `${asRoot}kill -HUP ${pids(strangers).join(" ")}; for round in {1..20}; do ${end}; [ "$ours$others" ] || break; sleep .05; done; echo $others`,
    );
    const stay = pids(stdout).map((pid) => `${pid} (${commandLine(pid)})`);
    if (stay.length > 0)
      return `Someone else is in ${directory}, so it was not removed: process ${stay.join(", ")}. End that, then remove it.`;
  }

  // An overlay's work directory has mode 000: its owner may open it, but must.
  const open = `find ${quote(directory)} -xdev -type d ! -perm -u=rwx -exec chmod u+rwx {} ';' 2>/dev/null; `;
  shell.runSync(`${sudo ? "" : open}${asRoot}rm -rf --one-file-system ${quote(directory)}`);
  if (existsSync(directory))
    return `This directory could not be removed: ${directory}. Its processes or its files may be left.`;
}

const pids = (text: string) => (text.match(/\d+/g) ?? []).map(Number);

/** sudo for a clean-up: where no terminal is, nobody can answer it, so it must not ask. */
const silentSudo = () => (process.stdin.isTTY ? "sudo " : "sudo -n ");

/** Who lives in a directory of ours, as pids: the chapter's processes, and others. */
export function residents(directory: string, shell: Shell, asRoot: string) {
  const { stdout } = shell.runSync(`${findResidents(directory, asRoot)}; echo "$ours/$others"`);
  const [ours = [], others = []] = stdout.split("/").map(pids);
  return { ours, others };
}

/**
 * The line that sets `ours` and `others` to the pids of who lives in a directory of ours.
 *
 * Ours is whose / is in it: by chroot; or after pivot_root, when links read / from outside, by the
 * mount on its /. (Other mounts do not count: whoever was started meanwhile in a mount namespace of
 * its own may have a copy of ours.) And ours is whose working directory is in it, if a line of the
 * chapter's has started it: those hand down {@link mark}, or TMPDIR. All others came by themselves,
 * such as a shell or an editor in another terminal.
 */
function findResidents(directory: string, asRoot: string): string {
  // Where /proc hides other users' processes (hidepid), only root's own find sees them all.
  const files = asRoot
    ? "/proc -mindepth 2 -maxdepth 2 '(' -name root -o -name cwd -o -name mountinfo -o -name environ ')'"
    : "/proc/[0-9]*/{root,cwd,mountinfo,environ} -maxdepth 0";
  // Our directories' names are unique and free of glob characters; their parents' may not be.
  const name = basename(directory);
  const onRoot = `^([^ ]+ ){3}([^ ]*/${name}[^ ]* / |[^ ]+ / .*/${name})`;
  const marked = `^(${mark}=|TMPDIR=.*/)${name}`;
  const found = `${asRoot}find ${files} '(' -lname '*/${name}*' -print -o -name mountinfo -exec grep -slE '${onRoot}' {} + -o -name environ -exec grep -slzE '${marked}' {} + ')' 2>/dev/null`;
  return `declare -A has=(); while IFS=/ read -r _ _ pid file; do has[$pid]+=$file; done < <(${found}); ours= others=; for pid in "\${!has[@]}"; do case \${has[$pid]} in *root*|*mountinfo*|*cwd*environ*|*environ*cwd*) ours+=" $pid" ;; *cwd*) others+=" $pid" ;; esac; done`;
}
