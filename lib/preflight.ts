/**
 * Can this run here? If not: why, and what to do.
 *
 * What can be tried is tried, in a throw-away child. Only when that fails are the usual suspects
 * looked at, to name the one that is in the way.
 *
 * @see capabilities(7), user_namespaces(7), seccomp(2)
 */
import { accessSync, constants, existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute } from "node:path";
import { quote } from "zx/core";
import { fileSystemOf, read } from "./kernel.ts";
import { findProgram, searchPath, tryOut, type Privilege, type Shell } from "./shell.ts";

/** Why a chapter cannot start, as sentences for the reader. */
export class CannotStart extends Error {
  /** The exit status that it means. */
  readonly status: number;
  constructor(why: string, status = 2) {
    super(why);
    this.status = status;
  }
}

/** Why it cannot have root. What else would work here is said below that. */
export class NoRoot extends CannotStart {}

// ── Tools

/**
 * A tool, and the package that has it: on Debian and Ubuntu, Fedora, Arch, Alpine.
 *
 * @param need `nft (nftables)`; `ps (procps, procps-ng, procps-ng, procps-ng)` where they differ;
 *   `tar` where the package is called like the tool
 */
function parseNeed(need: string): [tool: string, packages: string[]] {
  const [, tool = need, names = tool] = /^(\S+)(?: \((.*)\))?$/.exec(need) ?? [];
  const list = names.split(/, */);
  return [tool, list.length === 4 ? list : Array<string>(4).fill(list[0]!)];
}

/** Tools that lines are known to use. */
const known = new Map(
  `bash; grep; tar; gzip; zstd; xz (xz-utils, xz, xz, xz); find (findutils); xargs (findutils)
  chroot (coreutils); rm (coreutils); cp (coreutils); stat (coreutils); timeout (coreutils)
  unshare (util-linux, util-linux, util-linux, util-linux-misc); setsid (util-linux)
  nsenter (util-linux, util-linux, util-linux, util-linux-misc)
  pivot_root (util-linux, util-linux, util-linux, util-linux-misc)
  setpriv (util-linux, util-linux, util-linux, setpriv)
  mount (mount, util-linux, util-linux, mount); umount (mount, util-linux, util-linux, umount)
  ps (procps, procps-ng, procps-ng, procps-ng); pgrep (procps, procps-ng, procps-ng, procps-ng)
  ip (iproute2, iproute, iproute2, iproute2); ldd (libc-bin, glibc-common, glibc, musl-utils)
  hostname (hostname, hostname, inetutils, net-tools)`
    .split(/; |\n */)
    .map(parseNeed),
);

/** Tools whose BusyBox namesakes lack options that lines and clean-up use. */
const notBusyBox =
  /^(unshare|nsenter|setpriv|mount|umount|ps|pgrep|cp|rm|stat|find|grep|xargs|tar)$/;
/** What a clean-up takes. */
const always = ["bash", "find", "grep", "rm", "umount"];

/** Refuses a system that has none of what the chapters are about. */
export function requireLinux() {
  if (process.platform !== "linux")
    throw new CannotStart(
      `Containers are made of what the Linux kernel offers, and this is ${process.platform}. Use a Linux machine, a virtual machine, WSL2 on Windows or Lima on a Mac: the README says how.`,
    );
}

/**
 * Refuses to start when a tool is not there that a chapter takes, or is BusyBox's where that will
 * not do.
 *
 * @param lines the chapter's lines of shell: the tools that are known here are found in them
 * @param needs other tools, as for {@link parseNeed}
 * @param programs what it copies into its root file system
 */
export function requireTools(lines: string[], needs: string[], programs: string[]) {
  const words = new Set(lines.flatMap((line) => line.match(/[\w-]+/g) ?? []));
  const declared = new Map(needs.map(parseNeed));
  const packages = new Map([...declared, ...known]);
  const used = [...known.keys()].filter((tool) => words.has(tool));
  const path = searchPath();
  const refusals = [...new Set([...always, ...used, ...declared.keys(), ...programs])].flatMap(
    (tool) => {
      const why = complaint(tool, findProgram(tool, path), programs.includes(tool));
      const [debian, fedora, arch, alpine] = packages.get(tool) ?? [];
      if (!why || !debian) return why ?? [];
      return `${why} The package is ${debian} on Debian and Ubuntu, ${fedora} on Fedora, ${arch} on Arch, ${alpine} on Alpine.`;
    },
  );
  if (refusals.length > 0) throw new CannotStart(refusals.join("\n"));
}

function complaint(tool: string, file: string | undefined, copied: boolean): string | undefined {
  if (!file) return `${tool} is missing.`;
  // It may be a link or a copy.
  if (notBusyBox.test(tool) && read(file).includes("BusyBox v"))
    return `${file} is BusyBox's ${tool}, which lacks options that the chapter uses.`;
  if (copied && !isReadable(file))
    return `${file} can be run but not read, so it cannot be copied into a root file system. Use another one: --rootfs busybox, for example.`;
}

/** A setuid program need not be: on NixOS and Gentoo, mount is not. */
function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

// ── Root

/**
 * How lines with `sudo` get root here, and whether that asks for no password.
 *
 * @param ask whether there is a reader who could answer
 * @throws NoRoot for a user who is not root and has no sudo, or whom nobody answers
 */
export function findPrivilege(ask: boolean): { privilege: Privilege; silent: boolean } {
  if (process.getuid?.() === 0) return { privilege: "root", silent: true };
  if (!findProgram("sudo"))
    throw new NoRoot("This chapter needs root: you are not root, and there is no sudo.");
  const { ok, stderr } = tryOut("sudo -n true");
  if (!ok && !ask)
    throw new NoRoot(
      `This chapter needs root, and with --yes nobody answers sudo, which says: ${stderr.trim()}. Run \`sudo -v\` first, or leave out --yes.`,
    );
  return { privilege: "sudo", silent: ok };
}

// ── The temp directory

/** Refuses a temp directory whose programs may not be run. */
export function requireExecutable(directory: string) {
  if (fileSystemOf(directory).options.includes("noexec"))
    throw new CannotStart(
      `The directory ${dirname(directory)} is mounted noexec: no program in it can be run, and a root file system is full of them. ${elsewhere()}`,
    );
}

/** Where else temporary files could be, as a sentence. */
export function elsewhere(): string {
  const better = ["/var/tmp", "/dev/shm", homedir()].find((directory) => {
    if (!isAbsolute(directory) || !existsSync(directory)) return false;
    const { type, options } = fileSystemOf(directory);
    return type !== "overlay" && !options.includes("noexec");
  });
  return better
    ? `Set TMPDIR to a better one: TMPDIR=${quote(better)}`
    : "Set TMPDIR to a directory on a disk or on a tmpfs.";
}

// ── What a header may ask to be tried

/** Tries something as root, with a shell that asks nothing; throws if it does not work here. */
export type Try = (shell: Shell) => Promise<void>;

/**
 * Tries, as root, what a chapter will need. Each is a file in tries/, loaded for who needs it.
 *
 * @param names as in a header's `@tries`; namespaces are tried for every chapter
 */
export async function tryOutAll(names: string[], shell: Shell) {
  for (const name of ["namespaces", ...names]) {
    const file = new URL(`tries/${name}.ts`, import.meta.url);
    await ((await import(file.href)) as { default: Try }).default(shell);
  }
}
