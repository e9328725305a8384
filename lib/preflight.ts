/**
 * Can this run here? If not: why, and what to do.
 */
import { findProgram, type Privilege, type Shell } from "./shell.ts";

/** Why a chapter cannot start, as a sentence for the reader. */
export class CannotStart extends Error {}

/** The package that has a tool: on Debian and Ubuntu, Fedora, Arch, Alpine. */
const packages: Record<string, [string, string, string, string]> = {
  bash: ["bash", "bash", "bash", "bash"],
  unshare: ["util-linux", "util-linux", "util-linux", "util-linux-misc"],
  nsenter: ["util-linux", "util-linux", "util-linux", "util-linux-misc"],
  mount: ["mount", "util-linux", "util-linux", "mount"],
  umount: ["mount", "util-linux", "util-linux", "umount"],
  chroot: ["coreutils", "coreutils", "coreutils", "coreutils"],
  ps: ["procps", "procps-ng", "procps-ng", "procps-ng"],
  pgrep: ["procps", "procps-ng", "procps-ng", "procps-ng"],
  ip: ["iproute2", "iproute", "iproute2", "iproute2"],
  ldd: ["libc-bin", "glibc-common", "glibc", "musl-utils"],
  hostname: ["hostname", "hostname", "inetutils", "net-tools"],
  find: ["findutils", "findutils", "findutils", "findutils"],
};

/** Refuses a system that has none of what the chapters are about. */
export function requireLinux() {
  if (process.platform !== "linux")
    throw new CannotStart(
      `Containers are made of what the Linux kernel offers, and this is ${process.platform}. Use a Linux machine, a virtual machine, WSL2 on Windows or Lima on a Mac: the README says how.`,
    );
}

/**
 * Refuses to start when a tool that a chapter's lines use is not there.
 *
 * @param lines the chapter's lines of shell
 * @param programs what it copies into its root file system
 */
export function requireTools(lines: string[], programs: string[]) {
  const words = new Set(lines.flatMap((line) => line.match(/[\w-]+/g) ?? []));
  const needed = Object.keys(packages).filter((tool) => words.has(tool));
  const missing = [...new Set(["bash", "find", ...needed, ...programs])].filter(
    (tool) => !findProgram(tool),
  );
  if (missing.length === 0) return;
  const remedies = missing.map((tool) => {
    const [debian, fedora, arch, alpine] = packages[tool] ?? [];
    return debian
      ? `${tool} is missing. Its package is ${debian} on Debian and Ubuntu, ${fedora} on Fedora, ${arch} on Arch, ${alpine} on Alpine.`
      : `${tool} is missing.`;
  });
  throw new CannotStart(remedies.join("\n"));
}

/** How lines with `sudo` get root here. */
export function findPrivilege(): Privilege {
  if (process.getuid?.() === 0) return "root";
  if (findProgram("sudo")) return "sudo";
  throw new CannotStart(
    "This chapter needs root: you are not root, and there is no sudo. Become root, or install sudo and let your user use it.",
  );
}

/** Refuses when nobody is there to answer sudo, and sudo would ask. */
export async function requireSilentSudo(shell: Shell) {
  const sudo = await shell.run("sudo -n true");
  if (!sudo.ok)
    throw new CannotStart(
      `This chapter needs root, and with --yes nobody answers sudo, which says: ${sudo.stderr.trim()}. Run \`sudo -v\` first, or leave out --yes.`,
    );
}
