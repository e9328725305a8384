/**
 * What a challenge is judged by: the processes that the reader has started, and
 * the mounts, as the kernel tells of them in /proc.
 *
 * Those of root are read with the help of sudo, in one command for all of them.
 *
 * @see proc(5), namespaces(7), sudo(8)
 */
import { basename } from "node:path";
import { quote } from "zx/core";
import {
  everyone,
  stat,
  identity,
  namespaceTypes,
  parseMounts,
  read as readText,
  readLink,
  type Stat,
} from "../kernel.ts";
import { tryOut } from "../shell.ts";

/** A mount, as a line of mountinfo has it. */
export interface Mounted {
  /** The device and the directory on it that is mounted, `254:0 /home`. */
  what: string;
  /** Where it is, seen from the root of the process that was asked about. */
  point: string;
  type: string;
  /** The file system's own options, such as `lowerdir=app:base`. */
  options: string;
  /** Whether the mount is read-only, or its file system. */
  readOnly: boolean;
  /** As in {@link parseMounts}: `shared:4`, `master:4`. */
  tags: string[];
}

/** A process and what the kernel says about it; what it does not say is empty. */
export interface Process {
  pid: number;
  parent: number;
  /** Tells it from a later process with the same pid. */
  identity: string;
  args: string[];
  /** Its program's file. */
  program: string;
  /** Its numbers, from our pid namespace down to its own. */
  numbers: number[];
  /** Inode numbers by name in /proc/PID/ns, `pid_for_children` among them. */
  namespaces: Record<string, string>;
  /** Its / and what `..` leads to from there, as `device:inode`. */
  root: string;
  aboveRoot: string;
  /** The directories that have been its / since the world was opened. */
  roots: Set<string>;
  /** The paths of its working directory, of its / and of what is mounted there. */
  places: string[];
  /** Its working directory, as a path and as `device:inode`. */
  directory: string;
  directoryIdentity: string;
  /** The pid namespace of the process 1 that it finds in /proc, if there is one. */
  procShows: string;
  mounts: Mounted[];
  /** Lines of numbers. See user_namespaces(7) and time_namespaces(7). */
  uidMap: string;
  timeOffsets: string;
}

export interface World {
  /** The chapter's directory. */
  directory: string;
  /** The chapter itself, which is in the host's namespaces and root. */
  host: Process;
  /**
   * The reader's processes: they were started since the world was opened, by a
   * shell of the chapter's, or live in its directory, or descend from one that does.
   */
  processes: Process[];
  /** Whether that is all of them: nobody was on the way from one state to another. */
  isSettled: boolean;
  /** What the challenge's `remember` printed before the reader began. */
  memory: string;
  /** What a line prints that is run in the chapter's directory. */
  read(line: string): string;
  /** The file cgroup of a process, as it reads in that process's cgroup namespace. */
  cgroups(process: Process): string;
  /** Another process, by its number here, as it was when first asked about. */
  process(pid: number): Process | undefined;
}

/** Files in /proc/PID, by what is asked about them. */
const links = [...namespaceTypes, "pid_for_children", "time_for_children"].map(
  (type) => `ns/${type}`,
);
const asked = [
  ...[...links, "exe", "cwd", "root", "root/proc/1/ns/pid"],
  ...["root/.", "root/..", "cwd/.", "root/proc/1/."],
];
const texts = ["mountinfo", "uid_map", "timens_offsets"];

/** What was read about one process: the target or the identity or the text of each file. */
type Raw = Map<string, string>;

/**
 * Begins to watch.
 *
 * @param asRoot what a command begins with that must be root's: `sudo -n ` or nothing
 * @returns a function that looks around, and one that says, at next to no cost,
 *   whether something has happened: it returns another text if so
 */
export function openWorld(directory: string, memory: string, asRoot: string) {
  const before = new Set(everyone().map(({ identity }) => identity));
  const roots = new Map<string, Set<string>>();
  const known = new Map<string, string>();
  const kin = new Set<number>([process.pid]);
  const name = `/${basename(directory)}`;
  const key = (found: Process) => JSON.stringify({ ...found, roots: [] });
  const others = new Map<number, Process | undefined>();
  const one = (pid: number, sudo: string) => {
    const found = stat(pid);
    return found && found.state !== "Z" ? read([found], sudo)[0] : undefined;
  };

  function read(some: Stat[], sudo: string): Process[] {
    const pids = some.map(({ pid }) => pid);
    const raws = sudo ? askRoot(pids, sudo) : askDirectly(pids);
    return some.map((stat) => {
      const found = describe(stat, raws.get(stat.pid) ?? new Map());
      const past = roots.get(stat.identity) ?? new Set<string>();
      roots.set(stat.identity, past.add(found.root));
      return { ...found, roots: past };
    });
  }

  /**
   * The reader's processes, those alone that are not on their way from one state to another: who is
   * not as it was is read again, and must be the same.
   */
  function readSettled(some: Stat[]): Pick<World, "processes" | "isSettled"> {
    const found = read(some, asRoot);
    const news = found.filter((each) => known.get(each.identity) !== key(each));
    const again = read(
      some.filter((stat) => news.some(({ pid }) => pid === stat.pid)),
      asRoot,
    ).map(key);
    found.forEach((each) => known.set(each.identity, key(each)));
    grow(
      kin,
      found,
      ({ parent, places }, those) =>
        those.has(parent) || places.some((place) => place.includes(name)),
    );
    // What has ended meanwhile has none of these.
    const alive = found.filter(({ root, numbers }) => root && numbers.length > 0);
    const settled = grow(
      new Set(),
      alive,
      (each, those) =>
        (!news.includes(each) || again.includes(key(each))) &&
        // Whose parent is on its way is so, too: nobody is seen without what is above.
        (those.has(each.parent) || !found.some(({ pid }) => pid === each.parent)),
    );
    const theirs = alive.filter(({ pid }) => kin.has(pid));
    const processes = theirs.filter(({ pid }) => settled.has(pid));
    return { processes, isSettled: processes.length === theirs.length };
  }

  return {
    look(): World {
      return {
        ...{ directory, memory, host: one(process.pid, "")! },
        ...readSettled(everyone().filter(({ identity }) => !before.has(identity))),
        read: (line) => tryOut(`cd ${quote(directory)}; ${line}`).stdout,
        cgroups: ({ pid }) =>
          tryOut(`${asRoot}nsenter --target ${pid} --cgroup cat /proc/${pid}/cgroup`).stdout,
        process(pid) {
          if (!others.has(pid)) others.set(pid, one(pid, asRoot));
          return others.get(pid);
        },
      };
    },

    /** Page faults, their children's included, of all who are new or at a terminal. */
    pulse(): string {
      return everyone()
        .filter(
          ({ pid, identity, terminal }) =>
            pid !== process.pid && (terminal || !before.has(identity)),
        )
        .map(({ identity, faults }) => `${identity} ${faults}`)
        .join("\n");
    },
  };
}

/** Adds to a set of pids as long as one more belongs there, by those that are in it. */
function grow(
  those: Set<number>,
  all: Process[],
  belongs: (one: Process, those: Set<number>) => boolean,
) {
  for (let before = -1; before < those.size;) {
    before = those.size;
    for (const each of all) if (belongs(each, those)) those.add(each.pid);
  }
  return those;
}

function askDirectly(pids: number[]): Map<number, Raw> {
  const fact = (file: string): string => {
    if (texts.some((name) => file.endsWith(name))) return readText(file);
    if (!file.endsWith(".")) return readLink(file);
    try {
      return identity(file);
    } catch {
      return "";
    }
  };
  const facts = (pid: number) =>
    [...asked, ...texts].map((name): [string, string] => [name, fact(`/proc/${pid}/${name}`)]);
  return new Map(pids.map((pid) => [pid, new Map(facts(pid))]));
}

/** The same as root: `find` reads the links, and has `grep` print the texts. */
function askRoot(pids: number[], sudo: string): Map<number, Raw> {
  const raws = new Map(pids.map((pid): [number, Raw] => [pid, new Map()]));
  if (pids.length === 0) return raws;
  const files = pids.flatMap((pid) => [...asked, ...texts].map((name) => `/proc/${pid}/${name}`));
  const { stdout } = tryOut(
    `${sudo}find ${files.join(" ")} -maxdepth 0 -printf '%p\\t%l\\t%D:%i\\n' -type f -exec grep --with-filename '^' {} + 2>/dev/null`,
  );
  for (const line of stdout.split("\n")) {
    const [, pid, name = "", separator, rest = ""] =
      /^\/proc\/(\d+)\/([\w/.]+)([:\t])(.*)/.exec(line) ?? [];
    const raw = raws.get(Number(pid));
    if (!raw) continue;
    const [link = "", identity = ""] = rest.split("\t");
    if (separator === ":") raw.set(name, `${raw.get(name) ?? ""}${rest}\n`);
    else if (!texts.includes(name)) raw.set(name, link || identity);
  }
  return raws;
}

function describe(stat: Stat, raw: Raw): Omit<Process, "roots"> {
  const { pid, parent, identity } = stat;
  const fact = (name: string) => raw.get(name) ?? "";
  const inode = (name: string) => /\[(\d+)\]/.exec(fact(name))?.[1] ?? "";
  const mounts = parseMounts(fact("mountinfo")).map(
    ({ device, root, point, type, options, superOptions, tags }) => ({
      ...{ what: `${device} ${root}`, point, type, options: superOptions, tags },
      readOnly: options[0] === "ro" || /^ro\b/.test(superOptions),
    }),
  );
  const numbers = /^NSpid:(.*)/m.exec(readText(`/proc/${pid}/status`))?.[1];
  return {
    ...{ pid, parent, identity },
    args: readText(`/proc/${pid}/cmdline`).split("\0"),
    program: fact("exe"),
    numbers: (numbers?.match(/\d+/g) ?? []).map(Number),
    namespaces: Object.fromEntries(links.map((name) => [name.slice("ns/".length), inode(name)])),
    root: fact("root/."),
    aboveRoot: fact("root/.."),
    directory: fact("cwd"),
    directoryIdentity: fact("cwd/."),
    procShows: inode("root/proc/1/ns/pid") || (fact("root/proc/1/.") && "out of reach"),
    mounts,
    places: [
      ...[fact("cwd"), fact("root")],
      ...mounts
        .filter(({ point }) => point === "/")
        .map(({ what, options }) => `${what} ${options}`),
    ],
    uidMap: fact("uid_map").trim(),
    timeOffsets: fact("timens_offsets").trim(),
  };
}
