/**
 * Can the temp directory hold an overlay's upper directory?
 *
 * @see mount(8), the kernel's overlayfs document
 */
import { dirname } from "node:path";
import { fileSystemOf } from "../kernel.ts";
import { CannotStart, elsewhere, type Try } from "../preflight.ts";

const requireOverlay: Try = async (shell) => {
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
};

export default requireOverlay;
