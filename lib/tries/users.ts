/**
 * Is there another user than root? In a user namespace with one id there is not.
 *
 * @see setpriv(1), user_namespaces(7)
 */
import { CannotStart, type Try } from "../preflight.ts";

const requireUsers: Try = async (shell) => {
  const attempt = await shell.aside("sudo setpriv --reuid 65534 --regid 65534 --clear-groups true");
  if (attempt.ok) return;
  throw new CannotStart(
    `A challenge needs a second user, nobody (65534), and there is none here: ${attempt.stderr.trim()}. With --rootless you are alone, so leave it out and use sudo.`,
  );
};

export default requireUsers;
