/**
 * Read-only facts, as the kernel tells them in /proc.
 *
 * @see proc(5), namespaces(7)
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

/** Every type of namespace there is, by its name in `/proc/PID/ns`. See namespaces(7). */
export const namespaceTypes = [
  "mnt",
  "uts",
  "ipc",
  "pid",
  "net",
  "user",
  "cgroup",
  "time",
] as const;

/** An inode number for each type of namespace; a type that the kernel lacks is left out. */
export type Namespaces = Partial<Record<(typeof namespaceTypes)[number], string>>;

/**
 * The namespaces of the process that asks.
 *
 * @returns inode numbers, `{ mnt: "4026531841", … }`
 */
export function namespaces(): Namespaces {
  const links = readdirSync("/proc/self/ns").map(
    (type) => `${type} -> ${readlinkSync(`/proc/self/ns/${type}`)}`,
  );
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

/** Whether root is root of a user namespace only, where ids are mapped. See user_namespaces(7). */
export function idsAreMapped(): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
}

/** A file's identity, `device:inode` in decimal, as `stat -c %d:%i` prints it. See inode(7). */
export function identity(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  return `${dev}:${ino}`;
}

/** This process and those in sight that are older, as pids. */
export function elders(): string[] {
  const mine = Number(startTime(process.pid));
  return readdirSync("/proc").filter(
    (name) => /^\d+$/.test(name) && Number(startTime(Number(name))) <= mine,
  );
}

/**
 * When a process started, in clock ticks since boot; with the pid, its identity.
 *
 * @returns undefined if there is no such process. See proc_pid_stat(5).
 */
export function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field, the command's name, may hold blanks and parentheses.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/** How a process was started, as one line; empty if it has ended. See proc_pid_cmdline(5). */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .replace(/[\0\s]+/g, " ")
      .trim();
  } catch {
    return "";
  }
}

/**
 * What starts another script the way this one was started: the runtime and its
 * options, of which `process.execArgv` knows only Node's and Bun's.
 */
export function runtime(): string[] {
  const words = readFileSync("/proc/self/cmdline", "utf8").split("\0");
  // After the options come the script, its arguments, and nothing after the last \0.
  return [process.execPath, ...words.slice(1, -process.argv.length)];
}

/** The children of a process, as pids; none if it has ended. See proc_pid_task(5). */
export function children(pid: number): number[] {
  try {
    const file = `/proc/${pid}/task/${pid}/children`;
    return (readFileSync(file, "utf8").match(/\d+/g) ?? []).map(Number);
  } catch {
    return [];
  }
}

/** A mount: where it is, the type of its file system, and its options. */
export interface Mount {
  point: string;
  type: string;
  options: string[];
}

/** The mounts of this mount namespace, in the order they were made. See proc_pid_mountinfo(5). */
function mounts(): Mount[] {
  return parseMounts(readFileSync("/proc/self/mountinfo", "utf8"));
}

/** The mounts in a text that holds lines of mountinfo. */
function parseMounts(text: string): Mount[] {
  return text
    .split("\n")
    .filter((line) => / - /.test(line))
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      const fields = before.split(" ");
      return {
        point: unescape(fields[4] ?? ""),
        type: after.split(" ")[0] ?? "",
        options: (fields[5] ?? "").split(","),
      };
    });
}

/**
 * What /proc says of a process, in one text: its `status`, `uid_map`, `cgroup`
 * and `mountinfo`. See proc_pid_status(5), user_namespaces(7), cgroups(7).
 *
 * @returns `root` is the user outside that its root is; `cgroup` is the longest
 *   path, for version 1 has several, and some are `/`
 */
export function parseStatus(text: string) {
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\w+)`, "m").exec(text)?.[1] ?? "";
  const paths = [...text.matchAll(/^\d+:[^:]*:(\/.*)$/gm)];
  return {
    capabilities: BigInt(`0x${field("CapEff") || 0}`),
    seccomp: field("Seccomp"),
    noNewPrivileges: field("NoNewPrivs"),
    root: /^ *0 +(\d+) +\d+ *$/m.exec(text)?.[1] ?? "",
    cgroup: paths
      .map(([, path = ""]) => path)
      .reduce((best, path) => (path.length > best.length ? path : best), ""),
    mounts: parseMounts(text),
  };
}

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

/** mountinfo writes blank, tab, newline and backslash as three octal digits. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  );
}
