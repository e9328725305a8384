/**
 * Can this run here? If not: why, and what to do.
 *
 * What can be tried is tried, in a throw-away child. Only when that fails are
 * the usual suspects looked at, to name the one that is in the way.
 *
 * @see capabilities(7), user_namespaces(7), seccomp(2)
 */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname } from "node:path";
import { fileSystemOf, mountsBelow } from "./kernel.ts";
import { findProgram, searchPath, tryOut, type Privilege, type Shell } from "./shell.ts";

/** Why a chapter cannot start, as sentences for the reader. */
export class CannotStart extends Error {}

/** The package that has a tool: on Debian and Ubuntu, Fedora, Arch, Alpine. */
const packages: Record<string, [string, string, string, string]> = {
  bash: ["bash", "bash", "bash", "bash"],
  unshare: ["util-linux", "util-linux", "util-linux", "util-linux-misc"],
  nsenter: ["util-linux", "util-linux", "util-linux", "util-linux-misc"],
  setpriv: ["util-linux", "util-linux", "util-linux", "setpriv"],
  mount: ["mount", "util-linux", "util-linux", "mount"],
  umount: ["mount", "util-linux", "util-linux", "umount"],
  chroot: ["coreutils", "coreutils", "coreutils", "coreutils"],
  ps: ["procps", "procps-ng", "procps-ng", "procps-ng"],
  pgrep: ["procps", "procps-ng", "procps-ng", "procps-ng"],
  ip: ["iproute2", "iproute", "iproute2", "iproute2"],
  ldd: ["libc-bin", "glibc-common", "glibc", "musl-utils"],
  hostname: ["hostname", "hostname", "inetutils", "net-tools"],
  find: ["findutils", "findutils", "findutils", "findutils"],
  xargs: ["findutils", "findutils", "findutils", "findutils"],
  rm: ["coreutils", "coreutils", "coreutils", "coreutils"],
  cp: ["coreutils", "coreutils", "coreutils", "coreutils"],
  stat: ["coreutils", "coreutils", "coreutils", "coreutils"],
  tar: ["tar", "tar", "tar", "tar"],
  gzip: ["gzip", "gzip", "gzip", "gzip"],
  xz: ["xz-utils", "xz", "xz", "xz"],
  zstd: ["zstd", "zstd", "zstd", "zstd"],
};

/** Tools whose BusyBox namesakes lack options that lines and clean-up use. */
const notBusyBox = /^(unshare|nsenter|setpriv|mount|umount|ps|pgrep|cp|rm|stat|find|xargs|tar)$/;
/** What a clean-up takes. */
const always = ["bash", "find", "rm", "umount"];

/** Refuses a system that has none of what the chapters are about. */
export function requireLinux() {
  if (process.platform !== "linux")
    throw new CannotStart(
      `Containers are made of what the Linux kernel offers, and this is ${process.platform}. Use a Linux machine, a virtual machine, WSL2 on Windows or Lima on a Mac: the README says how.`,
    );
}

/**
 * Refuses to start when a tool that a chapter's lines use is not there, or is
 * BusyBox's where that will not do.
 *
 * @param lines the chapter's lines of shell
 * @param programs what it copies into its root file system
 */
export function requireTools(lines: string[], programs: string[]) {
  const words = new Set(lines.flatMap((line) => line.match(/[\w-]+/g) ?? []));
  const needed = Object.keys(packages).filter((tool) => words.has(tool));
  const path = searchPath();
  const refusals = [...new Set([...always, ...needed, ...programs])]
    .map((tool) => [tool, complaint(tool, findProgram(tool, path))])
    .filter(([, complaint]) => complaint)
    .map(([tool = "", complaint]) => {
      const [debian, fedora, arch, alpine] = packages[tool] ?? [];
      const remedy = `The package is ${debian} on Debian and Ubuntu, ${fedora} on Fedora, ${arch} on Arch, ${alpine} on Alpine.`;
      return `${complaint} ${debian ? remedy : ""}`.trim();
    });
  if (refusals.length > 0) throw new CannotStart(refusals.join("\n"));
}

function complaint(tool: string, file?: string): string | undefined {
  if (!file) return `${tool} is missing.`;
  // It may be a link or a copy.
  if (notBusyBox.test(tool) && readFileSync(file).includes("BusyBox v"))
    return `${file} is BusyBox's ${tool}, which lacks options that the chapter uses.`;
}

/**
 * How lines with `sudo` get root here.
 *
 * @throws CannotStart for a user who is not root and has no sudo
 */
export function findPrivilege(): Privilege {
  if (process.getuid?.() === 0) return "root";
  if (findProgram("sudo")) return "sudo";
  throw new CannotStart(
    `This chapter needs root: you are not root, and there is no sudo. ${offerRootless()}`,
  );
}

/** Refuses when nobody is there to answer sudo, and sudo would ask. */
export function requireSilentSudo() {
  const sudo = tryOut("sudo -n true");
  if (!sudo.ok)
    throw new CannotStart(
      `This chapter needs root, and with --yes nobody answers sudo, which says: ${sudo.stderr.trim()}. Run \`sudo -v\` first, or leave out --yes. ${offerRootless()}`,
    );
}

/**
 * What else would work for someone who cannot be root.
 *
 * @param otherwise what to say if that does not work either
 */
export function offerRootless(
  otherwise = "(And --rootless does not work here either: try it, and it says why.)",
): string {
  return tryOut(`${sandbox} true`).ok
    ? "Or use --rootless: that works here, without sudo."
    : otherwise;
}

/**
 * Makes a new world and runs a program in it as root, without being root: new
 * user, mount and pid namespaces. When the program ends, or whoever started
 * it, the kernel ends all that is in there and drops every mount.
 */
export const sandbox =
  "setpriv --pdeathsig KILL unshare --user --map-root-user --mount --pid --fork --kill-child --mount-proc";

/** Refuses --rootless where the kernel does, and names what is in the way. */
export function requireSandbox() {
  const attempt = tryOut(`${sandbox} true`);
  if (attempt.ok) return;
  throw new CannotStart(
    `--rootless does not work here: ${attempt.stderr.trim()}.\n${whyNoSandbox(attempt.stderr)}`,
  );
}

function whyNoSandbox(refusal: string): string {
  const setting = (name: string) => read(`/proc/sys/${name.replaceAll(".", "/")}`).trim();
  if (setting("user.max_user_namespaces") === "0")
    return "user.max_user_namespaces is 0, so nobody may make a user namespace. Someone with root can change that: sudo sysctl user.max_user_namespaces=15000";
  if (setting("kernel.unprivileged_userns_clone") === "0")
    return "kernel.unprivileged_userns_clone is 0, so only root may make a user namespace. Someone with root can change that: sudo sysctl kernel.unprivileged_userns_clone=1";
  if (setting("kernel.apparmor_restrict_unprivileged_userns") === "1")
    return "kernel.apparmor_restrict_unprivileged_userns is 1, so AppArmor lets you make a user namespace, but not mount in it. Someone with root can change that until the next boot: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0";
  // unshare(2): ENOSPC.
  if (/unshare failed: No space left/.test(refusal))
    return `user.max_user_namespaces is ${setting("user.max_user_namespaces")} here, and that many user namespaces are in use, or this is 32 of them deep. End something that uses them, or run it outside of the container. Someone with root can allow more: sudo sysctl user.max_user_namespaces=15000`;
  return whyNotRoot(refusal);
}

/**
 * Refuses where even root may not do what the chapters do, as in most containers.
 *
 * @param shell a shell with the chapter's privilege, that asks nothing
 */
export async function requireNamespaces(shell: Shell) {
  const attempt = await shell.run(
    "sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc true",
  );
  if (attempt.ok) return;
  const why = lacksSysAdmin()
    ? `This is a container without the capability CAP_SYS_ADMIN, which mounts and namespaces take. ${outside}`
    : whyNotRoot(attempt.stderr);
  throw new CannotStart(
    `Root may not make namespaces here: ${attempt.stderr.trim()}.\n${why} ${offerRootless("")}`,
  );
}

/** Whether root is without that capability. In a user namespace of its own nobody is. */
function lacksSysAdmin(): boolean {
  const status = read("/proc/self/status");
  const bounding = BigInt(`0x${/^CapBnd:\s*(\w+)/m.exec(status)?.[1] ?? 0}`);
  const CAP_SYS_ADMIN = 21n;
  return (bounding & (1n << CAP_SYS_ADMIN)) === 0n;
}

const outside = "Run it outside of the container, or in one that was started with --privileged.";

/** The likely reason why root, or root in a user namespace, was refused by unshare. */
function whyNotRoot(refusal: string): string {
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

/**
 * Refuses a temp directory that cannot hold an overlay's upper directory, or
 * whose programs may not be run.
 *
 * @param directory a directory of ours, to try it in
 */
export async function requireOverlay(shell: Shell, directory: string) {
  const attempt = await shell.run(
    "mkdir try try/lower try/upper try/work try/merged; sudo unshare --mount mount -t overlay overlay -o lowerdir=try/lower,upperdir=try/upper,workdir=try/work try/merged",
  );
  await shell.run("sudo rm -rf --one-file-system try");
  if (attempt.ok) return;
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
  const { options } = fileSystemOf(directory);
  if (options.includes("noexec"))
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

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
