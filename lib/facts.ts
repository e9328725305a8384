/**
 * The table: what the kernel says of process 1 in the reader's container, beside Docker's.
 *
 * @see proc(5), proc_pid_status(5), proc_pid_mountinfo(5), capabilities(7), cgroups(7)
 */
import { existsSync, readFileSync } from "node:fs";
import { identity, namespaces, parseMounts, parseNamespaces, type Mount } from "./kernel.ts";
import type { LineOptions, Session, Verbs } from "./verbs.ts";

/** The lines that are typed in a container, in the directory that /proc has for its process 1. */
export const looks = [
  "cat mountinfo uid_map; grep -o '.*:' net/dev",
  "grep -E 'NSpid|NSsid|Cap|NoNew|Secc' status",
  "ls -l ns fd /dev",
  "echo variables: $(tr '\\0' '\\n' < environ | grep -o '^[^=]*')",
  "grep -s . /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max",
  "nsenter --mount=ns/mnt stat -c %d:%i /; stat -c %d:%i /",
];

/** The machine's own / as `device:inode`, and the inodes of its namespaces. */
type Machine = { root: string; shared: string[] };

/** Another container, in which the same lines are typed. */
export interface Other {
  title: string;
  /** Opens a shell in it, with all of root's capabilities. */
  line: string;
  options: LineOptions;
  /** Tells how it ends, if it was started for this. */
  end?(): Promise<unknown>;
}

/** The chapter that a row is from, what it is, and its value. */
type Row = [chapter: number, what: string, value: string | undefined];

/** What the lines printed, as rows. A value is undefined if any part of it could not be read. */
export function rowsOf(text: string, machine: Machine): Row[] {
  const all = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, found = ""]) => found);
  const list = (parts: (string | undefined)[], separator = " ") =>
    parts.length > 0 && parts.every(Boolean) ? parts.join(separator) : undefined;
  const field = (name: string) => all(new RegExp(`^${name}:.*?0*(\\w+)$`, "gm"))[0];
  const limit = (name: string) => all(new RegExp(`^/sys/fs/cgroup/${name}.max:(.+)`, "gm"))[0];
  const mounts = parseMounts(text);
  const kind = (path: string) => {
    const mount = mounts.findLast(({ point }) => point === path);
    return mount ? `${mount.type} ${mount.options[0]}` : mounts[0] && "nothing";
  };
  const below = (place: RegExp, test: (mount: Mount) => boolean = () => true) => {
    const found = mounts.filter((mount) => place.test(mount.point) && test(mount));
    return list(found.map(({ point }) => point.replace(place, "")).sort());
  };
  const readOnly = ({ options }: Mount) => options[0] === "ro";
  const hides = (each: Mount) => each.root === "/null" || (each.type === "tmpfs" && readOnly(each));
  const [root, joined] = all(/^(\d+:\d+)$/gm).reverse();
  const spaces = Object.entries(parseNamespaces(text));
  const own = spaces.filter(([, inode]) => !machine.shared.includes(inode));
  const [number, session] = ["NSpid", "NSsid"].map(field);
  const leads = session && (session === number ? "its own session" : "a session");
  const variables = all(/^variables: (.*\S)/gm).flatMap((line) => line.split(" "));
  return [
    [1, "its /", root && (root === machine.root ? "the machine's" : "its own")],
    [2, "namespaces of its own", list(own.map(([type]) => type).sort())],
    [2, "its number, for itself", number],
    [4, "mounted as /", kind("/")],
    [5, "whoever joins gets", joined && (joined === root ? "its /" : "another /")],
    [6, "memory, processes, cpu", list(["memory", "pids", "cpu"].map(limit))],
    [7, "network interfaces", list(all(/^ *(?!ns|fd)([\w.-]+):$/gm).sort())],
    [7, "mounted in /etc", below(/^\/etc\//)],
    [8, "user ids", list(all(/^ *(\d+ +\d+ +\d+) *$/gm), ", ")?.replace(/ +/g, " ")],
    [9, "capabilities", list(["CapEff", "CapBnd", "CapInh", "CapAmb"].map(field))],
    [9, "seccomp, filters", list(["Seccomp", "Seccomp_filters"].map(field))],
    [9, "no new privileges", field("NoNewPrivs")],
    [9, "read-only in /proc", below(/^\/proc\//, (each) => readOnly(each) && !hides(each))],
    [9, "hidden", below(/^\/(?=(proc|sys)\/)/, hides)],
    [11, "/proc, /sys, /dev", list(["/proc", "/sys", "/dev"].map(kind), ", ")],
    [11, "in /dev", list([below(/^\/dev\//), list(all(/^c.* (\S+)$/gm))], "; ")],
    [11, "variables", list(variables.sort())],
    [11, "open files", list([list(all(/ (\d+) -> /g)), leads], ", ")],
  ];
}

/** Rows side by side, with a mark where both were read and are equal, else with the chapter. */
export function compare(yours: Row[], theirs: Row[]): (string | undefined)[][] {
  const rows = yours.map(([chapter, what, value], index) => {
    const other = theirs[index]![2];
    return [value && value === other ? "=" : `${chapter}`, what, value, other];
  });
  const equal = rows.filter(([mark]) => mark === "=").length;
  const count = yours.some(([, , value]) => value) ? `**${equal} of ${rows.length}**` : undefined;
  return [...rows, ["", "**rows that are equal**", count, ""]];
}

/** What dev/record.ts has recorded: of what, on what machine, and what the lines printed. */
export function recorded() {
  const file = readFileSync(new URL("docker.txt", import.meta.url), "utf8");
  const [about = "", links = "", ...text] = file.split("\n\n");
  const machine = { root: links.split("\n", 1)[0]!, shared: Object.values(parseNamespaces(links)) };
  const list = (name: string) => new RegExp(`^${name}: (.*)`, "m").exec(links)![1]!.split(" ");
  const [hides, protects] = [list("hides"), list("makes read-only")];
  return { about, machine, text: text.join("\n"), hides, protects };
}

/** The rows of what was recorded, on this machine: of what Docker covers, each kernel has some. */
function recordedRows(): Row[] {
  const { machine, text, hides, protects } = recorded();
  const here = (paths: string[], place: RegExp) =>
    paths
      .filter((path) => existsSync(path))
      .map((path) => path.replace(place, ""))
      .sort()
      .join(" ");
  const covered = new Map([
    ["read-only in /proc", here(protects, /^\/proc\//)],
    ["hidden", here(hides, /^\//)],
  ]);
  return rowsOf(text, machine).map(([chapter, what, value]) => [
    chapter,
    what,
    covered.get(what) ?? value,
  ]);
}

/**
 * Tells the table, see {@link Verbs.beside}.
 *
 * @param other what the reader's container stands beside; left out, one that was recorded
 * @returns how many rows are equal, `9 of 18`; undefined if nothing was read
 */
export async function tellFacts(
  { say, part, enter, table }: Verbs,
  other: Other | undefined,
  ...[line, first = "cd /proc/1", ...last]: Parameters<Verbs["beside"]>
) {
  const [{ about }, title] = [recorded(), other?.title ?? "Docker"];
  const machine = { root: identity("/"), shared: Object.values(namespaces()) };
  const rows = (session: Session) => rowsOf(looks.map((look) => session(look)).join("\n"), machine);
  await part`Spot the difference`;
  say`/proc says of every process what it sees (mounts, users, network interfaces) and what it may do;
    its namespaces, open files and devices, variables and limits. Read that of the first process in
    your container${other ? `, then in ${title}'s` : ""}, and compare. ('nsenter' joins its mounts, and 'stat' says which / that gives:
    by device number and inode number.) In the table '=' marks what is equal, and a number is the
    chapter that explains a row. You need not understand them all yet. ("The table, row by row", near
    the end of README.md, says what each of them means.)`;
  const mounts = "a second /proc is mounted, until the last line";
  const options = { changes: last.length > 0 ? mounts : "nothing, it only looks" };
  const yours = await enter(options)`${[line, first, ...looks, ...last].join("\n")}`;
  const theirs =
    other && (await enter(other.options)`${[other.line, "cd /proc/1", ...looks].join("\n")}`);
  const dockers = theirs ? rows(theirs) : recordedRows();
  const compared = compare(rows(yours), dockers);
  table(["", "first process", "yours", `${title}'s`], ...compared);
  await other?.end?.();
  say`${other ? "" : `(Docker's column was recorded: ${about}. Of the paths that it covers, it lists those that your kernel has. With '--rootfs docker:IMAGE' it is read here and now.)`}
    Docker's versions differ in what they hide, and Podman differs in some of its defaults.`;
  return compared.at(-1)![2]?.replaceAll("*", "");
}
