/**
 * What this machine allows: as whom the chapters run here, and why a test is skipped.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { findProgram } from "../shell.ts";

/** The checkout. */
export const checkout = fileURLToPath(new URL("../..", import.meta.url));

/** How the tests let a chapter be root: by being it, by a sudo that asks nothing, or rootless. */
export const mode = findMode();

/** What a command of the tests begins with that must be root's; empty if there is no root. */
export const sudo = mode === "sudo" ? ["sudo", "-n"] : [];

/** A command that has root over mounts of its own, which nobody else sees. */
export const ownMounts = [
  "unshare",
  ...(mode === "root" ? [] : ["--user", "--map-root-user"]),
  "--mount",
];

/** The same as root of a user namespace, which anyone can be. */
export const mapped = ["unshare", "--user", "--map-root-user", "--mount"];

/**
 * A bash that does not read ~/.bashrc. Others do by sudo: what node starts has sockets for pipes, as
 * a remote shell has, and sudo drops SHLVL. There HOME is root's own.
 */
export const bash = ["bash", "--norc"];

/** A command after some lines of shell, where these are root's and what they mount is nobody else's. */
export const prepared = (setup: string, command: string[], who = ownMounts) => [
  ...[...who, ...bash, "-ec", `${setup}\nexec "$@"`, "-"],
  ...command,
];

/** A command without a capability, for itself and whatever it starts. */
export const without = (capability: string) => [
  ...["setpriv", `--bounding-set=-${capability}`, `--inh-caps=-${capability}`],
];

function findMode(): "root" | "sudo" | "rootless" | undefined {
  if (process.getuid?.() === 0) return "root";
  if (succeeds("sudo", "-n", "true")) return "sudo";
  const namespaces = "--user --map-root-user --mount --pid --fork --mount-proc";
  if (succeeds("unshare", ...namespaces.split(" "), "true")) return "rootless";
  return undefined;
}

/** Whether a command can be run, and exits with 0. */
export function succeeds(...command: string[]): boolean {
  return spawnSync(command[0]!, command.slice(1), { stdio: "ignore" }).status === 0;
}

/** Why a test that needs these tools is skipped, or false if they are all there. */
export function missingTools(...tools: string[]): string | false {
  const missing = tools.filter((tool) => !findProgram(tool));
  return missing.length > 0 && `not installed: ${missing.join(", ")}`;
}

/** Why a test that runs a chapter is skipped, or false if it can be run. */
export const cannotRun =
  (!mode && "neither root, nor a sudo that asks nothing, nor user namespaces") ||
  missingTools("ip", "ps", "pgrep", "hostname", "ldd", "find");

/** Why a test that needs the real root is skipped, or false. */
export const notRoot =
  mode !== "root" && mode !== "sudo" && "needs root, or a sudo that asks nothing";

/** Why a test that needs {@link ownMounts} is skipped, or false. */
export const noOwnMounts =
  !succeeds(...ownMounts, "true") && "no mount namespace for this user on this machine";

/** Why a test that is {@link mapped} is skipped, or false. */
export const noMapped =
  !succeeds(...mapped, "true") && "no user namespaces for this user on this machine";
