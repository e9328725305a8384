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
import { dirname } from "node:path";
import { fileSystemOf, mountsBelow, read } from "./kernel.ts";
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

/**
 * Refuses where even root may not do what the chapters do, as in most containers.
 *
 * @param shell a shell with the chapter's privilege, that asks nothing
 */
async function requireNamespaces(shell: Shell) {
  const attempt = await shell.aside(
    "sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc true",
  );
  if (attempt.ok) return;
  const why = lacksSysAdmin()
    ? `This is a container without the capability CAP_SYS_ADMIN, which mounts and namespaces take. ${outside}`
    : whyNotRoot(attempt.stderr);
  throw new NoRoot(`Root may not make namespaces here: ${attempt.stderr.trim()}.\n${why}`);
}

/** Whether root is without that capability. In a user namespace of its own nobody is. */
function lacksSysAdmin(): boolean {
  const bounding = BigInt(`0x${/^CapBnd:\s*(\w+)/m.exec(read("/proc/self/status"))?.[1] ?? 0}`);
  const CAP_SYS_ADMIN = 21n;
  return (bounding & (1n << CAP_SYS_ADMIN)) === 0n;
}

const outside = "Run it outside of the container, or in one that was started with --privileged.";

/** The likely reason why root, or root in a user namespace, was refused by unshare. */
export function whyNotRoot(refusal: string): string {
  // On that one, which is meant to be mounted on, nothing depends.
  const covered = mountsBelow("/proc").find((point) => point !== "/proc/sys/fs/binfmt_misc");
  if (covered && refusal.includes("mount /proc failed"))
    return `Parts of /proc are covered here (${covered}), as in a container, and then the kernel lets nobody mount a new one. ${outside}`;
  if (/^Seccomp:\s*2/m.test(read("/proc/self/status")))
    return `A seccomp filter is on this process, as Docker and Podman put on their containers, and it forbids some system calls. ${outside}`;
  if (read("/proc/version").includes("-Microsoft"))
    return "This is WSL1, which has no namespaces. WSL2 has: wsl --set-version NAME 2";
  return "The kernel gives no reason. Perhaps a security module forbids it, or this is a container.";
}

// ── The temp directory

/**
 * Refuses a temp directory that cannot hold an overlay's upper directory.
 *
 * @param shell a shell in a directory of ours, to try it in
 */
async function requireOverlay(shell: Shell) {
  const attempt = await shell.aside(
    "mkdir try try/lower try/upper try/work try/merged; sudo unshare --mount mount -t overlay overlay -o lowerdir=try/lower,upperdir=try/upper,workdir=try/work try/merged",
  );
  await shell.aside("sudo rm -rf --one-file-system try");
  if (attempt.ok) return;
  const { directory } = shell;
  const { type } = fileSystemOf(directory);
  const why =
    type === "overlay"
      ? "it is on an overlay itself, as everything in a container is, and an overlay's upper directory cannot be."
      : `its file system is ${type}. ${attempt.stderr.trim()}.`;
  throw new CannotStart(
    `The directory ${dirname(directory)} cannot hold an overlay: ${why} ${elsewhere()}`,
  );
}

/** Refuses a temp directory whose programs may not be run. */
export function requireExecutable(directory: string) {
  if (fileSystemOf(directory).options.includes("noexec"))
    throw new CannotStart(
      `The directory ${dirname(directory)} is mounted noexec: no program in it can be run, and a root file system is full of them. ${elsewhere()}`,
    );
}

function elsewhere(): string {
  const better = ["/var/tmp", "/dev/shm", homedir()].find((directory) => {
    const { type, options } = fileSystemOf(directory);
    return existsSync(directory) && type !== "overlay" && !options.includes("noexec");
  });
  return better
    ? `Set TMPDIR to a better one: TMPDIR=${better}`
    : "Set TMPDIR to a directory on a disk or on a tmpfs.";
}

// ── What a header may ask to be tried

/** By the names that a chapter's `@tries` line gives them. */
const tries: Record<string, (shell: Shell) => Promise<void>> = {
  namespaces: requireNamespaces,
  overlay: requireOverlay,
};

/**
 * Tries, as root, what a chapter will need.
 *
 * @param names as in a header's `@tries`; namespaces are tried for every chapter
 */
export async function tryOutAll(names: string[], shell: Shell) {
  for (const name of ["namespaces", ...names]) {
    const attempt = tries[name];
    if (!attempt) throw new Error(`Nothing is known as @tries ${name}.`);
    await attempt(shell);
  }
}
