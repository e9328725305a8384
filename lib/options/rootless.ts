/**
 * --rootless: the chapter once more, where the reader is root in a user namespace.
 *
 * @see user_namespaces(7), unshare(1)
 */
import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import { quote } from "zx/core";
import { leftovers, register } from "../cleanup.ts";
import { guide } from "../guide.ts";
import { children, read, runtime } from "../kernel.ts";
import { CannotStart, requireTools } from "../preflight.ts";
import { asJob, handOver, tryOut } from "../shell.ts";
import { requireUnifiedCgroups } from "../tries/cgroup.ts";
import { whyNoUserNamespace } from "../tries/ids.ts";
import { clearAtExit, openDirectory, signals, type Asked } from "../walk.ts";

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
  requireTools([sandbox], [], []);
  const { ok, stderr } = attempt();
  if (!ok)
    throw new CannotStart(
      `--rootless does not work here: ${stderr.trim()}.\n${whyNoUserNamespace(stderr)}`,
    );
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

/**
 * A sandbox with other users in it, from 100000 on: outside they have numbers that root has given to
 * this user. See subuid(5).
 *
 * @throws CannotStart if root has given none
 */
function peopled(): string {
  requireTools([], ["newuidmap (uidmap, shadow-utils, shadow, shadow-uidmap)"], []);
  const { username, uid } = userInfo();
  const [users, groups] = ["uid", "gid"].map((kind) => {
    const ranges = read(`/etc/sub${kind}`).split("\n");
    const own = ranges
      .map((range) => range.split(":"))
      .find(([who, , many]) => [username, `${uid}`].includes(who!) && Number(many) >= 65536);
    if (!own)
      throw new CannotStart(
        `With --rootless this chapter needs 65536 ids besides your own, and /etc/sub${kind} gives you none. Root can, see subuid(5): sudo usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST ${username}. Or leave out --rootless${uid === 0 ? "" : " and use sudo"}.`,
      );
    return `--map-${kind === "uid" ? "users" : "groups"}=${own[1]},100000,65536`;
  });
  return `${sandbox} ${users} ${groups}`;
}

/**
 * The sandbox for a chapter: what its program is started with.
 *
 * @param tries what is tried before its first step, see header.ts
 * @throws CannotStart where it cannot be made
 */
export function sandboxFor(tries: string[]): string {
  requireSandbox();
  if (tries.includes("ids")) return peopled();
  if (!tries.includes("cgroup")) return sandbox;
  requireDelegation();
  return divided;
}

/** Starts this chapter again where the reader is root, and clears up after it. */
export async function walkSandboxed({ ask, pack }: Asked, tries: string[]) {
  const world = sandboxFor(tries);
  let unshare: number | undefined;
  let stopped: number | undefined;
  for (const [name, status] of Object.entries(signals))
    process.on(name, () => {
      if (!unshare) process.exit(status);
      stopped = status;
      // The chapter knows best how to stop, and sets the terminal right.
      for (const bash of children(unshare))
        for (const chapter of children(bash)) end(chapter, name);
      setTimeout(() => process.exit(status), 3000).unref();
    });
  const { directory, shell } = openDirectory("root");
  process.on("exit", () => unshare && endSandbox(unshare));
  // What was done is the chapter's, which has said how that went.
  clearAtExit(directory, shell, { lines: 0, sudo: false });

  // What belongs to those users is not this one's to remove.
  if (tries.includes("ids"))
    await register(`cd \${PWD@Q} && ${world} rm -rf --one-file-system by-hand.*`, shell);
  const { doer, recover } = guide(shell, "root", ask, () => undefined);
  for (const left of leftovers()) await recover(left);
  const again = process.argv.slice(1).filter((word) => word !== "--rootless");
  // Of an option that is given twice, the last one counts.
  if (pack) again.push("--rootfs", await pack(shell, doer));
  // Process 1 is a bash, whose job the chapter is: so it can take back the terminal.
  const job = ["bash", "-c", asJob('"$@"'), "bash"];
  const command = [...job, ...runtime(), ...again].map(quote).join(" ");
  const chapter = handOver(`exec ${world} ${command}`, directory);
  unshare = chapter.pid;
  const { exitCode } = await chapter;
  unshare = undefined;
  process.exitCode = stopped ?? exitCode ?? 1;
}

function end(pid: number, signal: string) {
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended.
  }
}

/** Ends a sandbox at once, and waits until it is gone: its processes are in our directory. */
function endSandbox(pid: number) {
  const inside = children(pid);
  end(pid, "SIGKILL");
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (let wait = 0; wait < 500; wait++) {
    if (!inside.some((child) => existsSync(`/proc/${child}/cwd`))) return;
    Atomics.wait(clock, 0, 0, 10);
  }
}
