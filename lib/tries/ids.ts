/**
 * May you make a user namespace here, and are there other users' ids to map in it?
 *
 * @see user_namespaces(7), subuid(5)
 */
import { read } from "../kernel.ts";
import { CannotStart, type Try } from "../preflight.ts";
import { outside, whyNotRoot } from "./namespaces.ts";

const requireIds: Try = async (shell) => {
  const mounts = "unshare --user --map-root-user --mount mount -t tmpfs none .";
  const attempt = await shell.aside(mounts);
  if (!attempt.ok) {
    const root = await shell.aside(`sudo ${mounts}`);
    throw new CannotStart(
      `You may not be root in a user namespace here: ${attempt.stderr.trim()}.\n${whyNoUserNamespace(attempt.stderr)}${root.ok ? " Or be root (sudo -s): then this chapter works here." : ""}`,
    );
  }
  const chown = await shell.aside("touch try; sudo chown 165535:165535 try");
  await shell.aside("sudo rm -f try");
  if (!chown.ok)
    throw new CannotStart(
      `This chapter gives files to users with the numbers 100000 to 165535, and that does not work here: ${chown.stderr.trim()}. If this is a container, it may have fewer ids (/proc/self/uid_map). ${outside}`,
    );
};

export default requireIds;

/** The likely reason why someone who is not root was refused a user namespace, or a mount in one. */
export function whyNoUserNamespace(refusal: string): string {
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
