/**
 * --rootfs: root file systems that were made elsewhere, as BusyBox or as a tar.
 *
 * @see tar(1), hier(7)
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { basename, extname, resolve } from "node:path";
import { quote } from "zx/core";
import { CannotStart } from "../preflight.ts";
import { parseLdd } from "../rootfs.ts";
import { print } from "../screen.ts";
import { findProgram, type Shell } from "../shell.ts";
import type { Source } from "../verbs.ts";
import type { Asked } from "../walk.ts";

/** A root file system that was made elsewhere, so that it must be looked at first. */
export interface ForeignSource extends Source {
  /** What it is called in a sentence. */
  title: string;
  /**
   * Looks into it, and changes nothing.
   *
   * @returns its files, in no order
   * @throws CannotStart if it is not there or cannot be read
   */
  list(shell: Shell): Promise<Member[]>;
}

/** A file in a root file system. */
export interface Member {
  /** As `ls -l` has it: `-` a file, `d` a directory, `l` a link, `b` and `c` devices. */
  type: string;
  /** Its path as it was packed; from the root directory, often with `./` before it. */
  path: string;
  /** Where a link leads, or what a hard link (`h`) is another name of. */
  link?: string;
}

/**
 * Has root file systems made of what `--rootfs` names, after a look into it.
 *
 * @throws CannotStart if it names nothing
 */
export function useSource(asked: Asked, text: string) {
  if (text === "busybox") use(asked, busybox());
  else if (/\.tar(\.(gz|xz|zst))?$/.test(text)) use(asked, tarball(text));
  else throw noSource(text);
}

/** Has root file systems made of this source, after a look into it. */
export function use(asked: Asked, source: ForeignSource) {
  asked.source = source;
  asked.look = async ({ shell }, { programs, lines }) => {
    print(`\nLooking at what is in ${source.title}.`);
    const typed = programs.map((name) => (name === "bash" ? "sh" : name));
    requireContents(source.title, await source.list(shell), typed, lines);
  };
}

export const noSource = (text: string) =>
  new CannotStart(
    `--rootfs takes host, busybox, docker:IMAGE, podman:IMAGE or PATH.tar[.gz|.xz|.zst], and not "${text}".`,
  );

/** A root file system that is one program of this machine: BusyBox, with a link for each of its names. */
function busybox(): ForeignSource {
  return {
    title: "BusyBox",
    programs: [],
    async list(shell) {
      const file = findProgram("busybox");
      const remedy =
        "The package is busybox-static on Debian and Ubuntu, busybox on Fedora and Arch, busybox-static on Alpine.";
      if (!file) throw new CannotStart(`busybox is missing. ${remedy}`);
      const answer = await shell.aside(`ldd ${quote(file)}`);
      if (parseLdd(file, answer.stdall).length > 0)
        throw new CannotStart(
          `${file} needs libraries, and a root of BusyBox alone has none: it takes a static one. ${remedy}`,
        );
      const { stdout } = await shell.aside("busybox --list");
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
function tarball(path: string): ForeignSource {
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
      const { ok, stdout, stderr } = await shell.aside(`${listTar} ${from}`);
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

/** The command that lists a tar: one line for each file, its names quoted, and no names of owners. */
export const listTar = "tar --list --verbose --numeric-owner --quoting-style=c --absolute-names";

/** The command that unpacks a tar into a directory, as the user who runs it. */
export const unpackTar = (directory: string) =>
  `tar --extract --directory ${directory} --no-same-owner --anchored --exclude={,./}'dev/*'`;

/** A line of that: a time that tar cannot write as a date is a number. */
const listed =
  /^(.)\S+ +\S+ +[\d,]+ (?:\S+ \d\d:\d\d|-?\d+) +"((?:[^"\\]|\\.)*)"(?: (?:->|link to) "((?:[^"\\]|\\.)*)")?$/;

/**
 * What {@link listTar} printed, as files. Their names have escapes, as in C.
 *
 * @throws CannotStart if there is anything else: what is not seen would not be looked at
 */
export function parseListing(listing: string): Member[] {
  return listing
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [, type, path, link] = listed.exec(line) ?? [];
      if (!type || path === undefined)
        throw new CannotStart(`The archive holds what tar lists as ${line}. Do not trust it.`);
      return { type, path, link };
    });
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
