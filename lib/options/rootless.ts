/**
 * --rootless: the chapter once more, where the reader is root in a user namespace.
 *
 * @see user_namespaces(7), unshare(1)
 */
import { existsSync } from "node:fs";
import { quote } from "zx/core";
import { clear, leftovers } from "../cleanup.ts";
import { guide } from "../guide.ts";
import { children, read, runtime } from "../kernel.ts";
import { CannotStart } from "../preflight.ts";
import { complain } from "../screen.ts";
import { asJob, handOver, tryOut } from "../shell.ts";
import { requireUnifiedCgroups } from "../tries/cgroup.ts";
import { whyNotRoot } from "../tries/namespaces.ts";
import { leaveTerminal, openDirectory, signals, type Asked } from "../walk.ts";

/**
 * Makes a new world and runs a program in it as root, without being root: new user, mount and pid
 * namespaces. When the program ends, or whoever started it, the kernel ends everything in there and
 * drops every mount.
 */
export const sandbox =
  "setpriv --pdeathsig KILL unshare --user --map-root-user --mount --pid --fork --kill-child --mount-proc";

const attempt = () => tryOut(`${sandbox} true`);

/** Says whether this would work for someone who cannot be root. */
export function offer(): string {
  return attempt().ok
    ? "Or use --rootless: that works here, without sudo."
    : "(And --rootless does not work here either: try it, and it says why.)";
}

/** Refuses --rootless where the kernel does, and names what is in the way. */
function requireSandbox() {
  const { ok, stderr } = attempt();
  if (!ok)
    throw new CannotStart(`--rootless does not work here: ${stderr.trim()}.\n${whyNot(stderr)}`);
}

function whyNot(refusal: string): string {
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
 * Starts a program in a group of its own, which systemd lets its user divide. See
 * systemd.resource-control(5), Delegate.
 */
const scope = "systemd-run --user --scope --quiet --property=Delegate=yes";

/** Refuses --rootless where the chapter makes groups, and systemd hands out none. */
function requireDelegation() {
  requireUnifiedCgroups();
  const { ok, stderr } = tryOut(`${scope} true`);
  if (!ok)
    throw new CannotStart(
      `With --rootless this chapter needs a group that is yours to divide. systemd hands them out, but not here: ${stderr.trim() || "systemd-run fails"}. Log in where it runs for you (systemctl --user status), or leave out --rootless and use sudo.`,
    );
}

/** A sandbox whose /sys/fs/cgroup is that group: its program is in a group below. */
const divided = `${scope} bash -c 'export OWN=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); mkdir $OWN/reader && echo $$ > $OWN/reader/cgroup.procs && exec "$@"' bash ${sandbox} bash -c 'mount --bind $OWN /sys/fs/cgroup && exec "$@"' bash`;

/** Starts this chapter again where the reader is root, and clears up after it. */
export async function walkSandboxed({ ask, pack }: Asked, tries: string[]) {
  requireSandbox();
  const takesGroups = tries.includes("cgroup");
  if (takesGroups) requireDelegation();
  let unshare: number | undefined;
  let stopped: number | undefined;
  for (const [name, status] of Object.entries(signals))
    process.on(name, () => {
      if (!unshare) process.exit(status);
      stopped = status;
      // The chapter knows best how to stop, and sets the terminal right.
      for (const bash of children(unshare))
        for (const chapter of children(bash)) process.kill(chapter, name);
      setTimeout(() => process.exit(status), 3000).unref();
    });
  const { directory, shell } = openDirectory("root");
  process.on("exit", () => {
    if (unshare) endSandbox(unshare);
    const left = clear(directory, shell, false);
    if (left) complain(left);
    leaveTerminal();
  });

  const { doer, recover } = guide(shell, "root", ask, () => undefined);
  for (const left of leftovers()) await recover(left);
  const again = process.argv.slice(1).filter((word) => word !== "--rootless");
  // Of an option that is given twice, the last one counts.
  if (pack) again.push("--rootfs", await pack(shell, doer));
  // Process 1 is a bash, whose job the chapter is: so it can take back the terminal.
  const job = ["bash", "-c", asJob('"$@"'), "bash"];
  const command = [...job, ...runtime(), ...again].map(quote).join(" ");
  const chapter = handOver(`exec ${takesGroups ? divided : sandbox} ${command}`, {
    TMPDIR: directory,
  });
  unshare = chapter.pid;
  const { exitCode } = await chapter;
  unshare = undefined;
  process.exitCode = stopped ?? exitCode ?? 1;
}

/** Ends a sandbox at once, and waits until it is gone: its processes are in our directory. */
function endSandbox(pid: number) {
  const inside = children(pid);
  process.kill(pid, "SIGKILL");
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (let wait = 0; wait < 500; wait++) {
    if (!inside.some((child) => existsSync(`/proc/${child}/cwd`))) return;
    Atomics.wait(clock, 0, 0, 10);
  }
}
