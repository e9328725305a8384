/**
 * The machine before a test and after it: what of ours is left there.
 *
 * Ours is what lives in a directory of this process's, descends from it, or shares a namespace with
 * such a process. Whatever else comes and goes meanwhile is somebody else's: a VPN, a USB stick, a
 * chapter in another terminal.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmdirSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { commandLine, everyone, list, parseMounts, read, type Stat } from "../kernel.ts";
import { bash, sudo } from "./here.ts";

// ── Temporary directories

/** Where all of this process's runs have their TMPDIR. */
const scratch = mkdtempSync(join(realpathSync(tmpdir()), "by-hand-test."));
chmodSync(scratch, 0o711);
/** Nobody else has that name in a path. */
const mark = basename(scratch);
process.on("exit", (code) => {
  if (removeEmpty(scratch) || code !== 0) return;
  console.error(`Left in ${scratch}: ${readdirSync(scratch, { recursive: true }).slice(0, 9)}`);
  process.exitCode = 1;
});

/** A fresh directory, with a given name or any; {@link tidy} removes it. */
export function temporary(name = "tmp"): string {
  const parent = mkdtempSync(join(scratch, "run."));
  chmodSync(parent, 0o711);
  const directory = join(parent, name);
  mkdirSync(directory);
  return directory;
}

/** Removes a temporary directory if it is empty. */
export function tidy(directory: string) {
  if (removeEmpty(directory)) removeEmpty(join(directory, ".."));
}

/** Never more than an empty directory: there may be a mount in it. */
function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    return false;
  }
}

// ── What is left

/** The sessions that programs of ours lead: whoever is in one was started by them. See setsid(2). */
const sessions = new Set<number>();
/** Notes a program that we have started in a session of its own. */
export const leadsSession = (pid: number) => sessions.add(pid);

/** Does something, and fails if anything of it is left. What was killed takes a moment to go. */
export async function leavesNothing<T>(deed: () => Promise<T>, patience = 5000): Promise<T> {
  const [before, known] = [facts(), new Set(everyone().map(({ identity }) => identity))];
  const otherGroups = groups();
  const result = await deed();
  const newGroups = groups().filter((each) => !otherGroups.includes(each));
  for (const end = Date.now() + patience; ;) {
    const after = facts();
    // One of another test's, which has our name as well, goes when that is over.
    const held = groups().filter((each) => newGroups.includes(each));
    const left = [
      ...before.filter((each) => !after.includes(each)).map((each) => `gone: ${each}`),
      ...after.filter((each) => !before.includes(each)).map((each) => `left: ${each}`),
      ...ours(known).map((each) => `left: ${each}`),
    ];
    if (left.length === 0 && held.length === 0) return result;
    if (Date.now() > (left.length > 0 ? end : end + 10 * patience))
      assert.deepEqual([...left, ...held.map((each) => `left: ${each}`)], []);
    await sleep(20);
  }
}

/** What runtimes and engines keep in HOME for themselves. */
const caches = /\/home\/\.(bun|cache|config|docker|local)$/;

/** What can be ours: the host name, interfaces by our name, our mounts and files. */
function facts(): string[] {
  const files = list(scratch).flatMap((run) =>
    list(join(scratch, run)).flatMap((tmp) =>
      list(join(scratch, run, tmp)).map((name) => join(run, tmp, name)),
    ),
  );
  return [
    `host name ${hostname()}`,
    ...[...read("/proc/self/net/dev").matchAll(/^ *(by-hand[^:]*):/gm)].map(
      ([, name]) => `interface ${name}`,
    ),
    ...mountsOf(read("/proc/self/mountinfo", "utf8")),
    ...files.filter((name) => !caches.test(name)).map((name) => `file ${JSON.stringify(name)}`),
  ];
}

/**
 * The cgroups by our name, of version 2 or in one of the hierarchies of version 1, that nobody is in:
 * who is in one is seen as a process. And the controllers that the topmost one hands down.
 */
function groups(): string[] {
  const top = "/sys/fs/cgroup";
  const ours = [top, ...list(top).map((name) => join(top, name))].flatMap((parent) =>
    list(parent)
      .filter((name) => /^by-hand/.test(name) && !read(join(parent, name, "cgroup.procs")))
      .map((name) => `cgroup ${join(parent, name)}`),
  );
  const controllers =
    read(join(top, "cgroup.subtree_control")).match(/\b(cpu|memory|pids)\b/g) ?? [];
  return [...ours, ...controllers.map((each) => `controller ${each} handed down`)];
}

/** The mounts of a directory of ours, or in one. */
function mountsOf(mountinfo: string): string[] {
  return parseMounts(mountinfo)
    .filter((mount) => `${mount.point} ${mount.root} ${mount.superOptions}`.includes(mark))
    .map(({ point, type, root }) => `mount ${point} (${type} ${root})`);
}

/** A flag in /proc/PID/stat. One that is ending holds nothing, and can take for ever to be gone. */
const PF_EXITING = 0x4;

/**
 * An engine's own processes come and go as it pleases. Whether it has a container left is for the
 * tests of the engines to ask.
 */
const engines = /^(dockerd|containerd|docker|podman|conmon|catatonit|slirp4netns|fuse-overlay)/;

/** Our processes that are not among those `known`, and what they hold. */
function ours(known: Set<string>): string[] {
  const isNew = ({ identity, name, flags }: Stat) =>
    !known.has(identity) && !engines.test(name) && !(flags & PF_EXITING);
  const all = everyone();
  // Nobody is in it any more: the number may soon be somebody else's.
  for (const each of sessions)
    if (!all.some(({ session }) => session === each)) sessions.delete(each);
  const news = all.filter(isNew);
  if (news.length === 0) return [];
  const asked = ask([process.pid, ...news.map(({ pid }) => pid)]);
  const here = asked(process.pid).namespaces;
  const found = new Set<number>([process.pid]);
  const held = new Set<string>();
  for (let before = 0; before < found.size;) {
    before = found.size;
    for (const { pid, parent, session } of news) {
      const { isMarked, namespaces } = asked(pid);
      const joined = namespaces.filter((each) => !here.includes(each));
      const belongs =
        isMarked ||
        found.has(parent) ||
        sessions.has(session) ||
        joined.some((each) => held.has(each));
      if (!belongs) continue;
      found.add(pid);
      joined.forEach((each) => held.add(each));
    }
  }
  found.delete(process.pid);
  return [...found].flatMap((pid) => [
    `process ${pid}: ${commandLine(pid)}`,
    ...asked(pid)
      .namespaces.filter((each) => held.has(each))
      .map((each) => `namespace ${each} of ${pid}`),
    ...asked(pid).mounts.map((each) => `${each}, for process ${pid}`),
  ]);
}

/**
 * What the kernel tells of processes, as root where there is a sudo.
 *
 * @returns a function of a pid: its namespaces, its mounts that are ours, and whether its root, its
 *   working directory, the mount on its / or its TMPDIR is
 */
function ask(pids: number[]) {
  const files = (...names: string[]) =>
    pids.flatMap((pid) => names.map((name) => `/proc/${pid}/${name}`)).join(" ");
  // A process may end meanwhile, and others' may be out of reach.
  const script = `exec 2>/dev/null
    find ${files("root", "cwd", "ns")} -type l -printf '%p %l\\n'
    grep --with-filename ${mark} ${files("mountinfo")}
    grep --files-with-matches --null-data '^TMPDIR=.*/${mark}' ${files("environ")}`;
  const [command = "", ...args] = [...sudo, ...bash, "-c", script];
  const { stdout } = spawnSync(command, args, { encoding: "utf8" });
  return (pid: number) => {
    const lines = stdout
      .split("\n")
      .filter((line) => line.startsWith(`/proc/${pid}/`))
      .map((line) => line.slice(`/proc/${pid}/`.length));
    const mounts = lines.filter((line) => line.startsWith("mountinfo:"));
    return {
      namespaces: lines.flatMap((line) => /^ns\/\w+ (\w+:\[\d+\])$/.exec(line)?.[1] ?? []),
      mounts: mountsOf(mounts.join("\n")),
      isMarked:
        lines.some((line) => /^(root|cwd) /.test(line) && line.includes(mark)) ||
        lines.includes("environ") ||
        parseMounts(mounts.join("\n")).some(({ point }) => point === "/"),
    };
  };
}
