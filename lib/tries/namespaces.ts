/**
 * May root make namespaces here? In most containers, root may not.
 *
 * @see namespaces(7), capabilities(7), seccomp(2)
 */
import { mountsBelow, read } from "../kernel.ts";
import { NoRoot, type Try } from "../preflight.ts";

const requireNamespaces: Try = async (shell) => {
  const attempt = await shell.aside(
    "sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc true",
  );
  if (attempt.ok) return;
  const why = lacksSysAdmin()
    ? `This is a container without the capability CAP_SYS_ADMIN, which mounts and namespaces take. ${outside}`
    : whyNotRoot(attempt.stderr);
  throw new NoRoot(`Root may not make namespaces here: ${attempt.stderr.trim()}.\n${why}`);
};

export default requireNamespaces;

/** Whether root is without that capability. In a user namespace of its own nobody is. */
function lacksSysAdmin(): boolean {
  const bounding = BigInt(`0x${/^CapBnd:\s*(\w+)/m.exec(read("/proc/self/status"))?.[1] ?? 0}`);
  const CAP_SYS_ADMIN = 21n;
  return (bounding & (1n << CAP_SYS_ADMIN)) === 0n;
}

/** Where it would work, as a sentence. */
export const outside =
  "Run it outside of the container, or in one that was started with --privileged.";

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
