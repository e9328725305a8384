/**
 * Docker and Podman: --rootfs docker:IMAGE or podman:IMAGE, --container NAME, and what stands beside
 * the reader's container then.
 *
 * @see docker(1), podman(1)
 */
import { statSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { register } from "../cleanup.ts";
import type { Other } from "../facts.ts";
import { identity, parseNamespaces, read } from "../kernel.ts";
import { screen } from "../pages.ts";
import { CannotStart, requireTools } from "../preflight.ts";
import { print } from "../screen.ts";
import { findProgram, handOver, tryOut, type Shell } from "../shell.ts";
import { tellOn } from "../tell.ts";
import type { Verbs } from "../verbs.ts";
import type { Asked } from "../walk.ts";
import { listTar, noSource, parseListing, unpackTar, use, type ForeignSource } from "./rootfs.ts";

interface Flags {
  print?: boolean;
  yes?: boolean;
  rootless?: boolean;
}

interface Engine {
  title: "Docker" | "Podman";
  /** How it is called here: with sudo, where its socket is only root's. */
  command: "docker" | "podman" | "sudo docker" | "sudo podman";
  /** Why it cannot be used, as a sentence; undefined if it can. */
  refusal?: string;
}

/** An image that an engine has, or a container that it runs. */
interface Named {
  engine: Engine;
  name: string;
}

// ── --rootfs docker:IMAGE

/**
 * Has root file systems made of an image.
 *
 * @param text `docker:IMAGE` or `podman:IMAGE`
 * @throws CannotStart if that is no image's name, or its engine cannot be used
 */
export function useImage(asked: Asked, text: string, { print: toPrint, rootless }: Flags) {
  // Nothing else can be an image's name, and nothing in it needs to be quoted.
  const [, kind, name = ""] = /^(docker|podman):(\w[\w./:@-]*)$/.exec(text) ?? [];
  if (!kind) throw noSource(text);
  const which = kind as "docker" | "podman";
  const engine = toPrint ? unasked(which) : findEngine(which, !rootless);
  if (engine.refusal) {
    requireTools([], [], ["tar"]);
    throw new CannotStart(engine.refusal);
  }
  const image = { engine, name };
  use(asked, imageSource(image));
  const look = asked.look!;
  asked.look = async (desk, rehearsal) => {
    if (engine.command.startsWith("sudo")) {
      print("\nDocker's socket is root's here, so sudo asks it what it has.");
      await desk.authenticate();
    }
    await look(desk, rehearsal);
  };
  // In a user namespace no engine is in reach.
  if (rootless) asked.pack = (shell, doer) => pack(image, shell, tellOn(screen(), doer));
  else if (toPrint || isHere(engine)) asked.beside = (verbs) => startOther(verbs, image);
}

/** The root file system of an image. */
function imageSource(image: Named): ForeignSource {
  const { engine, name } = image;
  const { title, command } = engine;
  // No name of another's is taken: it is that of a new directory.
  const container = '"$(basename "$WORK")"';
  const undoneBy = removal(engine, '$(basename "$WORK")');

  return {
    title: `the image ${name}`,
    programs: ["tar"],
    async list(shell) {
      await requireImage(engine, name, shell);
      const container = basename(shell.directory);
      await register(removal(engine, container), shell);
      const listing = await shell.aside(
        `set -o pipefail; ${make(image, container)} >&2 && ${command} export ${container} | ${listTar} --file - && ${command} rm ${container} >&2`,
      );
      if (!listing.ok)
        throw new CannotStart(`${title} does not export ${name}: ${listing.stderr.trim()}`);
      return parseListing(listing.stdout);
    },
    async fill(directory, { say, $ }) {
      say`In ${directory} goes what is in the image ${name}, which ${title} has. create makes a container without
        starting it (a container has a command: true), and export writes its files as a tar. They
        become yours (--no-same-owner). Devices are left out (--exclude): only root can make them.`;
      await $`mkdir -p ${directory}/proc`;
      await $({
        changes: `a container is made by ${title}, and not started`,
        undo: "by the rm below, or when the chapter ends in any other way",
        undoneBy,
      })`${make(image, container)}`;
      await $({
        changes: `nothing but files in ${directory}`,
        undo: "with the chapter's directory",
      })`${command} export ${container} | ${unpackTar(directory)} --file -`;
      await $({
        changes: "that container is gone",
      })`${command} rm ${container}`;
    },
  };
}

/** The line that makes a container without starting it. */
const make = ({ engine, name }: Named, container: string) =>
  `${engine.command} create --name ${container} ${name} true`;

/** Tells the lines that pack an image into a file; returns its path. */
async function pack(image: Named, shell: Shell, { say, $ }: Pick<Verbs, "say" | "$">) {
  const { engine, name } = image;
  const { title, command } = engine;
  await requireImage(engine, name, shell);
  const container = basename(shell.directory);
  say`In a user namespace ${title} is out of reach, so the image ${name} is packed into a file first.`;
  await $({ undoneBy: removal(engine, container) })`${make(image, container)}`;
  await $`${command} export ${container} > image.tar`;
  await $`${command} rm ${container}`;
  return join(shell.directory, "image.tar");
}

// ── --container NAME

/** The programs that are typed in a container that is joined. */
const typed = ["cat", "hostname", "ls", "ps", "stat"];

/**
 * Has a running container joined, too; unless that is only printed, it must run.
 *
 * @throws CannotStart
 */
export async function useContainer(asked: Asked, name: string, flags: Flags) {
  const container = flags.print
    ? { name, engine: unasked("docker") }
    : await whichContainer(name, Boolean(flags.yes));
  if (!flags.print) requireHere(container);
  asked.beside = (verbs) => joinOther(verbs, container);
  asked.whyEarly = () =>
    isRunning(container) ? undefined : `The container ${container.name} has stopped.`;
}

async function whichContainer(name: string, yes: boolean): Promise<Named> {
  if (!yes && process.getuid?.() !== 0 && !tryOut("sudo -n true").ok) {
    print("Only root may look at a container from outside, so sudo asks for your password.");
    await handOver("sudo -v");
  }
  return findContainer(name);
}

// ── Engines

/** An engine that was not asked whether it is there. */
const unasked = (name: "docker" | "podman"): Engine =>
  name === "podman"
    ? { title: "Podman", command: "podman" }
    : { title: "Docker", command: process.getuid?.() === 0 ? "docker" : "sudo docker" };

/**
 * An engine, as this user can use it.
 *
 * @param sudo whether lines may use sudo
 */
export function findEngine(name: "docker" | "podman", sudo: boolean): Engine {
  const title = name === "docker" ? "Docker" : "Podman";
  const engine: Engine = { title, command: name };
  if (name === "podman") rememberPodmansState();
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
async function requireImage(engine: Engine, image: string, shell: Shell) {
  const { title, command } = engine;
  const answer = await shell.aside(`${command} image inspect ${image}`);
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
function findContainer(name: string): Named {
  if (!/^\w[\w.-]*$/.test(name)) throw new CannotStart(`No container can have the name ${name}.`);
  const asked: string[] = [];
  const refusals: string[] = [];
  for (const engine of candidates()) {
    const { title, command, refusal } = engine;
    if (refusal) {
      refusals.push(refusal);
      continue;
    }
    const { ok, stdout, stderr } = inspect({ engine, name }, "Status");
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
const silent = (command: string) =>
  command.replace("sudo ", process.getuid?.() === 0 ? "" : "sudo -n ");

/** Whether an engine's containers are processes of this kernel, and not of a virtual machine's. */
function isHere({ title, command }: Engine): boolean {
  if (title === "Podman") return true;
  return (
    tryOut(`${silent(command)} info --format '{{.KernelVersion}}'`).stdout.trim() === release()
  );
}

/** Asks an engine for a field of a container's state. */
const inspect = ({ engine, name }: Named, field: "Status" | "Pid") =>
  tryOut(`${silent(engine.command)} container inspect --format '{{.State.${field}}}' ${name}`);

/** Whether a container still runs. */
const isRunning = (container: Named) => inspect(container, "Status").stdout.trim() === "running";

/**
 * Refuses a container that lacks what is typed in it, or that this machine does not know by the
 * number that its engine has for it: a process of that number may be anybody's here.
 *
 * @throws CannotStart
 */
function requireHere(container: Named) {
  const { engine, name } = container;
  const look = `for NAME in ${typed.join(" ")}; do type $NAME >/dev/null 2>&1 || echo "lacks $NAME"; done; cat /proc/sys/kernel/random/boot_id; ls -l /proc/self/ns/mnt`;
  const { ok, stdout: inside } = tryOut(`${silent(engine.command)} exec ${name} sh -c '${look}'`);
  const missing = ok ? [...inside.matchAll(/^lacks (.*)/gm)].map(([, tool]) => tool) : ["sh"];
  if (missing.length > 0)
    throw new CannotStart(
      `The container ${name} lacks what the chapter types in it: ${missing.join(", ")}. Take one that has them.`,
    );
  if (!inside.includes(read("/proc/sys/kernel/random/boot_id").trim()))
    throw new CannotStart(
      `The container ${name} runs on another kernel: on another machine, or in a virtual machine, as those of Docker Desktop do. Its namespaces cannot be joined from here.`,
    );
  const pid = Number(inspect(container, "Pid").stdout);
  const outside = tryOut(`${silent("sudo ")}readlink /proc/${pid}/ns/mnt`).stdout;
  const inode = (text: string) => /mnt:\[\d+\]/.exec(text)?.[0];
  if (!inode(inside) || inode(inside) !== inode(outside))
    throw new CannotStart(
      `${engine.title} says that ${name} is process ${pid}, but here that is another process: the engine has a pid namespace of its own, as when it runs in a container, or in WSL2 with Docker Desktop.`,
    );
}

/** The line that removes a container if there is one of that name, and is content if there is none. */
function removal({ command }: Engine, name: string): string {
  const state =
    command === "podman" ? "${XDG_RUNTIME_DIR:+export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR@Q}; }" : "";
  return `${state}${command} container ls --all --quiet --filter name=${name} | xargs --no-run-if-empty ${command} rm --force`;
}

/**
 * Without XDG_RUNTIME_DIR, as after `su`, Podman keeps its state where TMPDIR says. That is another
 * place for our lines, so say where it was before, in version 4 or 5.
 */
export function podmansState(): NodeJS.ProcessEnv {
  const uid = process.getuid?.();
  const directory = [`podman-run-${uid}`, `storage-run-${uid}`]
    .map((name) => join(tmpdir(), name))
    .find((path) => statSync(path, { throwIfNoEntry: false })?.uid === uid);
  return directory ? { XDG_RUNTIME_DIR: directory } : {};
}

/** Lines inherit that variable. */
function rememberPodmansState() {
  if (process.env.XDG_RUNTIME_DIR) return;
  delete process.env.XDG_RUNTIME_DIR;
  Object.assign(process.env, podmansState());
}

// ── Beside the reader's container

/** The same limits as chapter 6 sets, so that the table has them. */
export const limits = "--memory 64m --pids-limit 100 --cpus 0.5";

/** Starts a container of an image in the background, named after the work directory. */
async function startOther(verbs: Verbs, image: Named): Promise<Other> {
  const { engine, name } = image;
  const { title, command } = engine;
  const container = '"$(basename "$WORK")"';
  // Podman would make a bridge for it, and leave that on the machine.
  const network = title === "Podman" ? "--network none " : "";
  verbs.say`A container of ${name}, started by ${title} in the background.`;
  await verbs.$({
    changes: `${title} starts a container that sleeps, with limits`,
    undo: "by 'rm', further down, or when the chapter ends in any other way",
    undoneBy: removal(engine, '$(basename "$WORK")'),
  })`${command} run --detach --stop-signal KILL --name ${container} ${network}${limits} ${name} sleep 1d`;
  const other = await lineInto(verbs, { engine, name: container });
  return {
    ...other,
    end: () => verbs.$({ changes: "that container ends" })`${command} rm --force ${container}`,
  };
}

/** Finds the process of a container, and makes sure that it is the same one here. */
async function lineInto({ $, same }: Verbs, { engine, name }: Named): Promise<Other> {
  const { title, command } = engine;
  const looks = { changes: "nothing, it only asks" };
  await $(looks)`THEIRS=$(${command} inspect --format '{{.State.Pid}}' ${name}); echo $THEIRS`;
  const links = await $(looks)`sudo ls -l /proc/$THEIRS/ns`;
  const exec = await $(looks)`${command} exec ${name} ls -l /proc/self/ns`;
  same("exec leads into the five namespaces of that process", {
    exec: five(exec.stdout),
    "from outside": five(links.stdout),
  });
  return {
    title,
    line: `sudo nsenter --target "$THEIRS" --uts --mount --ipc --net --pid sh`,
    options: {
      changes: `a root shell in ${title}'s container: what you change there stays changed`,
      undo: "it goes when the shell ends",
    },
  };
}

/** Joins a container that an engine runs: the same line, the same proofs. */
async function joinOther(verbs: Verbs, container: Named): Promise<Other> {
  const { say, part, enter, same, differ } = verbs;
  const { name, engine } = container;
  const typed = ["ps -ef", "hostname", "stat -c %d:%i /", "cat /proc/1/comm"];
  const lines = typed.map((each) => `\n${each}`).join("");
  await part`Join one that you did not make`;
  say`${engine.title} runs ${name}, and knows which process of yours that is.`;
  const other = await lineInto(verbs, container);
  say`The same line with that process, without --root and --wd: ${engine.title} has called pivot_root,
    so the container's / came with its mount namespace.`;
  const joined = await enter(other.options)`${other.line}${lines}`;
  differ("--mount alone was enough: / is the container's", {
    "/ on the host": identity("/"),
    "/ in the shell": joined("stat -c %d:%i /"),
  });
  say`And now ${engine.title}'s own way in. Its shell shows no prompt; with --tty it would.`;
  const exec = await enter(other.options)`${engine.command} exec --interactive ${name} sh${lines}`;
  same("exec leads to the same /, the same process 1 and the same name", {
    nsenter: typed.slice(1).map((each) => joined(each)),
    exec: typed.slice(1).map((each) => exec(each)),
  });
  return other;
}

/** The inodes of the five namespaces that the chapters' containers have of their own. */
function five(listing: string) {
  const { mnt, uts, ipc, pid, net } = parseNamespaces(listing);
  return [mnt, uts, ipc, pid, net];
}
