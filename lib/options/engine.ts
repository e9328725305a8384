/**
 * Docker and Podman, where a chapter is asked to work with one of them.
 *
 * @see docker(1), podman(1)
 */
import { namespaces, parseNamespaces, parseStatus } from "../kernel.ts";
import { CannotStart } from "../preflight.ts";
import { findProgram, tryOut, type Shell } from "../shell.ts";
import type { LineOptions, Teller } from "../teller.ts";

export interface Engine {
  title: "Docker" | "Podman";
  /** How it is called here: with sudo, where its socket is only root's. */
  command: "docker" | "podman" | "sudo docker" | "sudo podman";
  /** Why it cannot be used, as a sentence; undefined if it can. */
  refusal?: string;
}

/** An image that an engine has. */
export interface Image {
  engine: Engine;
  name: string;
}

/** A container that an engine runs. */
export interface Container {
  engine: Engine;
  name: string;
}

/**
 * An engine, as this user can use it.
 *
 * @param sudo whether lines may use sudo
 */
export function findEngine(name: "docker" | "podman", sudo: boolean): Engine {
  const title = name === "docker" ? "Docker" : "Podman";
  const engine: Engine = { title, command: name };
  if (!findProgram(name))
    return {
      ...engine,
      refusal: `${title} is not installed here: there is no ${name}. Every chapter can be told without it.`,
    };
  const { ok, stderr } = tryOut(`${name} version`);
  if (ok) return engine;
  if (name === "docker" && /permission denied/i.test(stderr)) {
    if (sudo && findProgram("sudo")) return { title, command: "sudo docker" };
    return {
      ...engine,
      refusal:
        "You have no permission on Docker's socket. Someone with root can put you into the group that has (sudo usermod --append --groups docker $USER; it makes you as powerful as root), or you use sudo: leave out --rootless.",
    };
  }
  return { ...engine, refusal: translate(engine, stderr) };
}

/** What an engine complained about, as a sentence. */
function translate({ title, command }: Engine, complaint: string): string {
  if (/cannot connect|daemon running/i.test(complaint))
    return `${title} is installed, but not running. Start it, such as with: sudo systemctl start docker`;
  const [last = ""] = complaint.trim().split("\n").slice(-1);
  return `${title} (${command}) does not answer as it should: ${last}`;
}

/**
 * Refuses a name that is no image of an engine's.
 *
 * @throws CannotStart
 */
export async function requireImage(engine: Engine, image: string, shell: Shell) {
  const { title, command } = engine;
  const answer = await shell.run(`${command} image inspect ${image}`);
  if (answer.ok) return;
  throw new CannotStart(
    /no such|not known|not found/i.test(answer.stderr)
      ? `${title} has no image ${image} here. \`${command} images\` lists what it has, and \`${command} pull ${image}\` may fetch it.`
      : translate(engine, answer.stderr),
  );
}

/**
 * The running container of this name, whichever engine has it.
 *
 * @throws CannotStart if none has, or none can be asked
 */
export function findContainer(name: string): Container {
  if (!/^\w[\w.-]*$/.test(name)) throw new CannotStart(`No container can have the name ${name}.`);
  const asked: string[] = [];
  const refusals: string[] = [];
  for (const engine of candidates()) {
    const { title, command, refusal } = engine;
    if (refusal) {
      refusals.push(refusal);
      continue;
    }
    const { ok, stdout, stderr } = tryOut(
      `${silent(command)} container inspect --format '{{.State.Status}}' ${name}`,
    );
    const status = stdout.trim();
    if (ok && status === "running") return { engine, name };
    if (ok)
      throw new CannotStart(
        `${title} has a container ${name}, but it is not running (${status}). Start it: ${command} start ${name}`,
      );
    if (/no such|not found/i.test(stderr)) asked.push(command);
    else refusals.push(translate(engine, stderr));
  }
  throw new CannotStart(
    [
      asked.length > 0 &&
        `There is no container ${name} here. These were asked: ${asked.join(", ")}. \`${asked[0]} ps\` lists those that run.`,
      ...refusals,
    ]
      .filter(Boolean)
      .join("\n"),
  );
}

/** The engines that may have a container: Docker, this user's Podman, and root's. */
function candidates(): Engine[] {
  const podman = findEngine("podman", true);
  const rootsToo = process.getuid?.() !== 0 && !podman.refusal;
  return [
    findEngine("docker", true),
    podman,
    ...(rootsToo ? [{ ...podman, command: "sudo podman" } as const] : []),
  ];
}

/** A command of an engine's that does not ask for a password. */
const silent = (command: Engine["command"]) =>
  process.getuid?.() === 0 ? command : command.replace("sudo", "sudo -n");

/** Whether a container still runs. */
export function isRunning({ engine, name }: Container): boolean {
  const { stdout } = tryOut(
    `${silent(engine.command)} container inspect --format '{{.State.Status}}' ${name}`,
  );
  return stdout.trim() === "running";
}

/**
 * Refuses a container without the programs that are typed in it.
 *
 * @throws CannotStart
 */
export function requirePrograms({ engine, name }: Container, typed: string[]) {
  const look = `for NAME in ${typed.join(" ")}; do type $NAME >/dev/null 2>&1 || echo $NAME; done`;
  const { ok, stdout } = tryOut(`${silent(engine.command)} exec ${name} sh -c '${look}'`);
  const missing = ok ? (stdout.match(/\S+/g) ?? []) : ["sh"];
  if (missing.length > 0)
    throw new CannotStart(
      `The container ${name} lacks what the chapter types in it: ${missing.join(", ")}. Take one that has them.`,
    );
}

/** The line that removes a container if there is one of that name, and is content if there is none. */
export function removal({ command }: Engine, name: string): string {
  return `${command} container ls --all --quiet --filter name=${name} | xargs --no-run-if-empty ${command} rm --force`;
}

/**
 * The line that starts a shell in a new container of an image, named after the
 * work directory, and what to say of it.
 */
export function runShell({ engine, name }: Image) {
  const { title, command } = engine;
  const options: LineOptions = {
    changes: `${title} starts a container, with a shell in it that shows no prompt (--tty would)`,
    undo: "by --rm, when the shell ends",
    undoneBy: removal(engine, '$(basename "$WORK")'),
  };
  const line = `${command} run --rm --interactive --network none --name "$(basename "$WORK")" ${name} sh`;
  return { line, options };
}

/**
 * Puts the reader's container and an engine's side by side, by what the kernel
 * tells of the first process in each.
 *
 * @param yours a line that opens a shell in the reader's container
 * @param theirs a line that opens one in the engine's
 */
export async function spotTheDifference(
  { say, part, enter, table }: Teller,
  { title }: Engine,
  yours: string,
  theirs: { line: string; options: LineOptions },
) {
  await part`Spot the difference`;
  say`What may process 1 of a container do? The kernel tells: rights, system calls and users (status, uid_map),
    its cgroup, its mounts, its namespaces. Ask in yours, then in ${title}'s.`;
  const looks = [
    `cat /proc/1/status /proc/1/uid_map /proc/1/cgroup`,
    `cat /proc/1/mountinfo`,
    `ls -l /proc/1/ns`,
  ];
  const your = await enter({ changes: "nothing, it only looks" })`${yours}`(...looks);
  const their = await enter(theirs.options)`${theirs.line}`(...looks);
  table(["", "yours", `${title}'s`], () => {
    const columns = [describe(your.join("\n")), describe(their.join("\n"))];
    return Object.keys(columns[0]!).map((row) => [row, ...columns.map((column) => column[row]!)]);
  });
  say`Where they differ, yours has what a process of root's has. What is still missing is what later chapters will build.`;
}

/**
 * What /proc says of a process, in words.
 *
 * @param text its status, uid_map, cgroup and mountinfo, and `ls -l` of its ns
 */
export function describe(text: string): Record<string, string> {
  const { capabilities, seccomp, noNewPrivileges, root, cgroup, mounts } = parseStatus(text);
  const [host, own] = [namespaces(), parseNamespaces(text)];
  const shared = Object.entries(host).filter(
    ([type, inode]) => own[type as keyof typeof own] === inode,
  );
  const rights = capabilities.toString(2).replaceAll("0", "").length;
  const covered = mounts.filter(({ point }) => point.startsWith("/proc/"));
  return {
    "root mount": mounts.find(({ point }) => point === "/")?.type ?? "none: a directory",
    capabilities: `${rights} (${capabilities.toString(16)})`,
    seccomp: seccomp === "2" ? "a filter" : "none",
    "no new privileges": noNewPrivileges === "1" ? "yes" : "no",
    cgroup: cgroup.length > 18 ? `${cgroup.slice(0, 17)}…` : cgroup,
    "covered in /proc": String(covered.length),
    "root outside is": `user ${root}`,
    "shared with you": shared.map(([type]) => type).join(" ") || "nothing",
  };
}

/**
 * What mountinfo says of the mount at `/`, in words. See proc_pid_mountinfo(5).
 *
 * @returns the last two names of a path; "-" for what the file system has not
 */
export function layers(mountinfo: string): Record<string, string> {
  const [, type = "-", options = ""] =
    /^\S+ \S+ \S+ \S+ \/ .* - (\S+) \S+ (.*)$/m.exec(mountinfo) ?? [];
  // Some kernels write one lowerdir+= for each, instead of colons.
  const lower = [...options.matchAll(/lowerdir\+?=([^,]*)/g)].flatMap(([, paths = ""]) =>
    paths.split(":"),
  );
  const end = (name: string) =>
    new RegExp(`${name}=([^,]*)`).exec(options)?.[1]?.match(/[^/]+(\/[^/]+)?$/)?.[0];
  return {
    "type of /": type,
    "lower layers": lower.length > 0 ? String(lower.length) : "-",
    upper: shorten(end("upperdir")),
    work: shorten(end("workdir")),
  };
}

/** A name that fits in a table; a checksum is known by its first letters. */
const shorten = (name = "-") =>
  name.replace(/[0-9a-f]{16,}/g, (checksum) => `${checksum.slice(0, 12)}…`);
