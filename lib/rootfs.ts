/**
 * The lines that build a root file system, and where its files may come from.
 *
 * @see ldd(1), hier(7), tar(1)
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { basename, extname, resolve } from "node:path";
import { quote } from "zx/core";
import { register } from "./cleanup.ts";
import { findEngine, removal, requireImage, type Image } from "./options/engine.ts";
import { askLdd, copyListed, parseAnswers, parseLdd } from "./ldd.ts";
import { CannotStart } from "./preflight.ts";
import { findProgram, type Shell } from "./shell.ts";
import type { Teller } from "./teller.ts";

/** Where a root file system comes from. */
export interface Source {
  /** The programs of this machine that it is made of, or with. */
  programs: string[];
  /** Tells the lines that fill `directory`, which they make if it is not there. */
  fill(directory: string, teller: Teller): Promise<void>;
}

/** A root file system that was made elsewhere, so that it must be looked at first. */
export interface ForeignSource extends Source {
  /** What it is called in a sentence. */
  title: string;
  /** The image that it is of, if it is of one. */
  image?: Image;
  /**
   * Looks into it, and changes nothing.
   *
   * @returns its files, in no order
   * @throws CannotStart if it is not there or cannot be read
   */
  list(shell: Shell): Promise<Member[]>;
  /** For where no engine is in reach: tells the lines that pack it into `image.tar`. */
  pack?(shell: Shell, teller: Teller): Promise<void>;
}

/** A file in a root file system. */
export interface Member {
  /** As `ls -l` has it: `-` a file, `d` a directory, `l` a link, `b` and `c` devices. */
  type: string;
  /** Its path as it was packed; from the root directory, often with `./` before it. */
  path: string;
}

/**
 * A root file system of programs copied from this machine, each with the
 * libraries that it needs, and an empty `proc` to mount /proc on.
 */
export function hostPrograms(...programs: string[]): Source {
  return {
    programs,
    async fill(directory, { $ }) {
      await $`mkdir -p ${directory}/proc`;
      // Before anything is copied: what ldd could not find, it only mentions.
      parseAnswers((await $`${askLdd(programs)}`).stdout);
      await $`${copyListed(directory)}`;
    },
  };
}

/** A root file system that is one program of this machine: BusyBox, with a link for each of its names. */
export function busybox(): ForeignSource {
  return {
    title: "BusyBox",
    programs: [],
    async list(shell) {
      const file = findProgram("busybox");
      const remedy =
        "The package is busybox-static on Debian and Ubuntu, busybox on Fedora and Arch, busybox-static on Alpine.";
      if (!file) throw new CannotStart(`busybox is missing. ${remedy}`);
      const answer = await shell.run(`ldd ${quote(file)}`);
      if (parseLdd(file, answer.stdall).length > 0)
        throw new CannotStart(
          `${file} needs libraries, and a root of BusyBox alone has none: it takes a static one. ${remedy}`,
        );
      const { stdout } = await shell.run("busybox --list");
      const names = stdout.split("\n").filter(Boolean);
      return names.map((name) => ({ type: "l", path: `bin/${name}` }));
    },
    async fill(directory, { say, $ }) {
      say`In ${directory} goes one program of this machine: BusyBox, which is a shell, ls, ps and hundreds more,
        and needs no library. It looks at the name it was started by, so each one is a link to it.`;
      await $`mkdir -p ${directory}/proc ${directory}/bin; cp "$(type -P busybox)" ${directory}/bin`;
      await $`for APPLET in $(busybox --list | grep -vx busybox); do ln -s busybox ${directory}/bin/$APPLET; done`;
    },
  };
}

/** What tar starts for an archive whose name ends in this. */
const unpackers: Record<string, string> = {
  ".gz": "gzip",
  ".xz": "xz",
  ".zst": "zstd",
};

/**
 * A root file system in a tar file, such as Alpine's minirootfs.
 *
 * @param path where it is, from the directory that the reader is in
 */
export function tarball(path: string): ForeignSource {
  const file = resolve(path);
  const unpacker = unpackers[extname(path)];
  const title = basename(path).replace(/\p{Cc}/gu, "?");
  // A colon in its path would name another machine.
  const from = `${file.includes(":") ? "--force-local " : ""}--file ${quote(file)}`;
  return {
    title,
    programs: unpacker ? ["tar", unpacker] : ["tar"],
    async list(shell) {
      if (!statSync(file, { throwIfNoEntry: false })?.isFile())
        throw new CannotStart(`There is no file ${title}.`);
      const { ok, stdout, stderr } = await shell.run(`${listTar} ${from}`);
      if (!ok) throw new CannotStart(whyUnreadable(title, stderr));
      if (!unpacker && !endsAsTarDoes(file)) throw new CannotStart(cut(title));
      return parseListing(stdout);
    },
    async fill(directory, { say, $ }) {
      say`In ${directory} goes what is in ${title}, a root file system that someone has packed. The files
        become yours (--no-same-owner). Devices are left out (--exclude): only root can make them.`;
      await $`mkdir -p ${directory}/proc`;
      await $`${unpackTar(directory)} ${from}`;
    },
  };
}

/** The root file system of an image that an engine has. */
export function image(image: Image): ForeignSource {
  const { engine, name } = image;
  const { title, command } = engine;
  const make = (container: string) => `${command} create --name ${container} ${name} true`;
  // No name of another's is taken: it is that of a new directory.
  const container = '"$(basename "$WORK")"';
  const undoneBy = removal(engine, '$(basename "$WORK")');

  return {
    title: `the image ${name}`,
    image,
    programs: ["tar"],
    async list(shell) {
      await requireImage(engine, name, shell);
      const container = basename(shell.directory);
      await register(removal(engine, container), shell);
      const listing = await shell.run(
        `set -o pipefail; ${make(container)} >&2 && ${command} export ${container} | ${listTar} --file - && ${command} rm ${container} >&2`,
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
      })`${make(container)}`;
      await $({
        changes: `nothing but files in ${directory}`,
        undo: "with the chapter's directory",
      })`${command} export ${container} | ${unpackTar(directory)} --file -`;
      await $({
        changes: "that container is gone",
      })`${command} rm ${container}`;
    },
    async pack(shell, { say, $ }) {
      await requireImage(engine, name, shell);
      const container = basename(shell.directory);
      say`In a user namespace ${title} is out of reach, so pack the image ${name} into a file first.`;
      await $({ undoneBy: removal(engine, container) })`${make(container)}`;
      await $`${command} export ${container} > image.tar`;
      await $`${command} rm ${container}`;
    },
  };
}

/** The command that lists a tar: in English, one line for each file, names as they are. */
const listTar = "LC_ALL=C tar --list --verbose --quoting-style=escape --absolute-names";

/** The command that unpacks a tar into a directory, as the user who runs it. */
const unpackTar = (directory: string) =>
  `tar --extract --directory ${directory} --no-same-owner --anchored --exclude={,./}'dev/*'`;

/**
 * What `tar --list --verbose` printed, as files.
 *
 * @param listing with names quoted in the style "escape", so that each has one line
 */
export function parseListing(listing: string): Member[] {
  const line = /^(.)\S+ +\S+ +[\d,]+ \S+ \S+ (.*)$/gm;
  return [...listing.matchAll(line)].map(([, type = "", rest = ""]) => ({
    type,
    path:
      type === "l"
        ? rest.replace(/ -> .*/, "")
        : type === "h"
          ? rest.replace(/ link to .*/, "")
          : rest,
  }));
}

function whyUnreadable(title: string, complaint: string): string {
  if (/premature|unexpected e(of|nd)/i.test(complaint)) return cut(title);
  if (/not .*(format|tar archive)|unsupported format/i.test(complaint))
    return `${title} is not a tar archive.`;
  return `${title} cannot be read: ${complaint.trim().split("\n")[0]}.`;
}

const cut = (title: string) => `${title} is truncated: its end is missing. Fetch it again.`;

/** Whether a file ends in two blocks of zeros, which tar itself does not insist on. See tar(5). */
function endsAsTarDoes(file: string): boolean {
  const descriptor = openSync(file, "r");
  try {
    const end = Buffer.alloc(1024, 1);
    readSync(descriptor, end, 0, 1024, Math.max(0, statSync(file).size - 1024));
    return end.every((byte) => byte === 0);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Refuses a root file system that a chapter cannot be told with, or that would
 * have files elsewhere.
 *
 * @param typed the programs that are started in it
 * @param lines the chapter's lines: what they write, it must not hold already
 * @throws CannotStart
 */
export function requireContents(
  title: string,
  members: Member[],
  typed: string[],
  lines: string[],
) {
  const refuse = (why: string) => {
    throw new CannotStart(`${title} ${why}`);
  };
  const outside = members.find(({ path }) => /^\/|(^|\/)\.\.(\/|$)/.test(path));
  if (outside)
    refuse(
      `holds ${outside.path}, a path that leads out of the directory that it would be unpacked in. A root file system has none such, so do not trust it.`,
    );
  const device = members.find(({ type, path }) => /[bc]/.test(type) && !/^(\.\/)?dev\//.test(path));
  if (device)
    refuse(
      `holds the device ${device.path}, outside of /dev. A root file system has none such, so do not trust it.`,
    );
  const paths = new Set(members.map(({ path }) => path.replace(/^\.\//, "")));
  const missing = typed.filter(
    (name) =>
      !["", "usr/", "usr/local/"].some(
        (place) => paths.has(`${place}bin/${name}`) || paths.has(`${place}sbin/${name}`),
      ),
  );
  if (missing.length > 0)
    refuse(
      `lacks what the chapter types in its root: ${missing.join(", ")}. Take one that has them, such as --rootfs busybox.`,
    );
  const written = lines
    .flatMap((line) => [...line.matchAll(/> \w+\/([\w.-]+)$/gm)])
    .map(([, name = ""]) => name);
  const taken = written.find((name) => paths.has(name));
  if (taken) refuse(`holds a /${taken}, and the chapter makes one of that name.`);
}

/**
 * The source that `--rootfs` names.
 *
 * @param sudo whether lines may use sudo
 * @returns undefined for the programs of this machine, which the chapter lists
 * @throws CannotStart if it names none
 */
export function parseSource(text: string, sudo: boolean): ForeignSource | undefined {
  if (text === "host") return undefined;
  if (text === "busybox") return busybox();
  const [, engine, name = ""] = /^(docker|podman):(.*)$/s.exec(text) ?? [];
  // Nothing else can be an image's name, and nothing in it needs to be quoted.
  if (engine && /^\w[\w./:@-]*$/.test(name))
    return image({
      engine: findEngine(engine as "docker" | "podman", sudo),
      name,
    });
  if (!engine && /\.tar(\.(gz|xz|zst))?$/.test(text)) return tarball(text);
  throw new CannotStart(
    `--rootfs takes host, busybox, docker:IMAGE, podman:IMAGE or PATH.tar[.gz|.xz|.zst], and not "${text}".`,
  );
}
