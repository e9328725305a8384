/**
 * Read-only facts, as the kernel tells them in /proc. What cannot be read is empty: a process may
 * have ended, and a machine that is only to print a chapter may have no /proc.
 *
 * @see proc(5), namespaces(7)
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

/** Every type of namespace, by its name in /proc/PID/ns, and what is in it. See namespaces(7). */
const contents = {
  mnt: "mounts",
  uts: "the host name",
  ipc: "System V IPC, POSIX message queues",
  pid: "processes",
  net: "the network",
  user: "users, and what root may do",
  cgroup: "which cgroup counts as the top",
  time: "when the machine was started",
};

export const namespaceTypes = Object.keys(contents) as (keyof typeof contents)[];

/** An inode number for each type of namespace; a type that the kernel lacks is left out. */
export type Namespaces = Partial<Record<(typeof namespaceTypes)[number], string>>;

/**
 * The namespaces of the process that asks.
 *
 * @returns inode numbers, `{ mnt: "4026531841", … }`
 */
export function namespaces(): Namespaces {
  const links = namespaceTypes.map((type) => `${type} -> ${readLink(`/proc/self/ns/${type}`)}`);
  return parseNamespaces(links.join("\n"));
}

/**
 * The namespaces in what `ls -l /proc/PID/ns` printed.
 *
 * @returns inode numbers, as {@link namespaces}; empty if the text holds none
 */
export function parseNamespaces(listing: string): Namespaces {
  const found: Namespaces = {};
  for (const type of namespaceTypes) {
    const inode = new RegExp(`\\b${type} -> ${type}:\\[(\\d+)\\]`).exec(listing);
    if (inode) found[type] = inode[1];
  }
  return found;
}

/**
 * The namespaces in such a listing beside one's own.
 *
 * @returns a row for each type: its name, one's own, the listed one, `private` or `shared`, and
 *   what is in it
 */
export function compareNamespaces(listing: string): (string | undefined)[][] {
  const [host, listed] = [namespaces(), parseNamespaces(listing)];
  return namespaceTypes.map((type) => {
    const verdict = host[type] === listed[type] ? "shared" : "private";
    return [type, host[type], listed[type], verdict, contents[type]];
  });
}

/** Whether root is root of a user namespace only, where ids are mapped. See user_namespaces(7). */
export function idsAreMapped(): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(read("/proc/self/uid_map"));
}

/** A file's identity, `device:inode` in decimal, as `stat -c %d:%i` prints it. See inode(7). */
export function identity(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  return `${dev}:${ino}`;
}

// ── Processes

/** What everyone may know about a process. See proc_pid_stat(5). */
export interface Stat {
  pid: number;
  /** The name of its program, of at most 15 characters. */
  name: string;
  /** One letter: `R` runs, `S` sleeps, `Z` has ended, and so on. */
  state: string;
  parent: number;
  session: number;
  /** Whether it has a controlling terminal. */
  terminal: boolean;
  /** Its flags for the kernel. See linux/sched.h. */
  flags: number;
  /** Its page faults that needed no disk, and those of its children that have ended. */
  faults: string;
  /** When it was started, in clock ticks since boot. */
  started: number;
  /** Tells it from a later process of the same pid. */
  identity: string;
}

/** A process; undefined if there is no such process. */
export function stat(pid: number): Stat | undefined {
  // The second field, the program's name, may hold blanks and parentheses.
  const [, name = "", rest] = /\((.*)\) (.*)/s.exec(read(`/proc/${pid}/stat`)) ?? [];
  if (rest === undefined) return undefined;
  const fields = rest.split(" ");
  const number = (index: number) => Number(fields[index]);
  return {
    ...{ pid, name, state: fields[0]!, parent: number(1), session: number(3) },
    ...{ terminal: fields[4] !== "0", flags: number(6), faults: `${fields[7]} ${fields[8]}` },
    ...{ started: number(19), identity: `${pid}.${fields[19]}` },
  };
}

/** All processes in sight that have not ended, the oldest first. */
export function everyone(): Stat[] {
  return list("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => stat(Number(name)))
    .filter((each) => each !== undefined)
    .filter(({ state }) => state !== "Z")
    .sort((one, other) => one.started - other.started || one.pid - other.pid);
}

/** This process and those in sight that are older, as pids. */
export function elders(): string[] {
  const mine = stat(process.pid)?.started ?? 0;
  return everyone()
    .filter(({ started }) => started <= mine)
    .map(({ pid }) => String(pid));
}

/** How a process was started, as one line. See proc_pid_cmdline(5). */
export function commandLine(pid: number): string {
  return read(`/proc/${pid}/cmdline`, "utf8")
    .replace(/[\0\s]+/g, " ")
    .trim();
}

/** The children of a process, as pids. See proc_pid_task(5). */
export function children(pid: number): number[] {
  return (read(`/proc/${pid}/task/${pid}/children`).match(/\d+/g) ?? []).map(Number);
}

/**
 * What starts another script the way this one was started: the runtime and its options, of which
 * `process.execArgv` knows only Node's and Bun's.
 */
export function runtime(): string[] {
  const words = read("/proc/self/cmdline").split("\0");
  // After the options come the script, its arguments, and nothing after the last \0.
  return [process.execPath, ...words.slice(1, -process.argv.length)];
}

// ── Mounts

/** A mount, as a line of mountinfo has it. See proc_pid_mountinfo(5). */
export interface Mount {
  /** `major:minor` of the file system. */
  device: string;
  /** The directory in that file system that is mounted. */
  root: string;
  /** Where, as the process that was asked about sees it. */
  point: string;
  /** Of this mount: `rw`, `noexec`, … */
  options: string[];
  /** How mounts travel: `shared:4`, `master:4`. See mount_namespaces(7). */
  tags: string[];
  type: string;
  /** Of the file system: `lowerdir=app:base,…` */
  superOptions: string;
}

/** The mounts in a text that holds lines of mountinfo, in the order they were made. */
export function parseMounts(text: string): Mount[] {
  return text
    .split("\n")
    .filter((line) => line.includes(" - "))
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      const [, , device = "", root = "", point = "", options = "", ...tags] = before.split(" ");
      const [type = "", , superOptions = ""] = after.split(" ");
      const place = { device, root: unescape(root), point: unescape(point) };
      return {
        ...place,
        options: options.split(","),
        tags,
        type,
        superOptions: unescape(superOptions),
      };
    });
}

/** mountinfo writes blank, tab, newline and backslash as three octal digits. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  );
}

/** The mounts of this mount namespace. */
const mounts = () => parseMounts(read("/proc/self/mountinfo", "utf8"));

/** Mount points below a directory, in the order they were mounted. */
export function mountsBelow(directory: string): string[] {
  return mounts()
    .map(({ point }) => point)
    .filter((point) => point.startsWith(`${directory}/`));
}

/** The mount that a directory is on: the last of those whose path is the longest. */
export function fileSystemOf(directory: string): Mount {
  return mounts()
    .filter(({ point }) => `${directory}/`.startsWith(point === "/" ? "/" : `${point}/`))
    .reduce((best, mount) => (mount.point.length >= best.point.length ? mount : best));
}

// ── Reading

/** What a file of /proc holds. */
export function read(file: string, encoding: BufferEncoding = "latin1"): string {
  try {
    return readFileSync(file, encoding);
  } catch {
    return "";
  }
}

/** Where a link of /proc leads. */
export function readLink(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return "";
  }
}

/** The names in a directory, of /proc for one. */
export function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
