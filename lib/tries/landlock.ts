/**
 * May a process lock itself out of files? That is Landlock's, which a kernel need not have.
 *
 * @see landlock(7)
 */
import { CannotStart, type Try } from "../preflight.ts";

const requireLandlock: Try = async (shell) => {
  const version = await shell.aside(`perl -e 'syscall(444, 0, 0, 1) > 0 or die "$!\\n"'`);
  if (version.ok) return;
  throw new CannotStart(
    `A challenge needs Landlock, and this kernel has none: ${version.stderr.trim()}. It takes Linux 5.13 or newer, with landlock among the names in /sys/kernel/security/lsm; where it is not, the kernel parameter lsm=landlock,… adds it.`,
  );
};

export default requireLandlock;
