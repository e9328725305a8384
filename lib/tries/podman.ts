/**
 * Does Podman answer, to the machine's own root? And can perl read JSON?
 *
 * @see podman(1), JSON::PP(3perl)
 */
import { idsAreMapped } from "../kernel.ts";
import { CannotStart, type Try } from "../preflight.ts";

const requirePodman: Try = async (shell) => {
  if (idsAreMapped())
    throw new CannotStart(
      "A challenge has Podman start a container, and in here Podman is not in reach. Leave out --rootless.",
    );
  const version = await shell.aside("sudo podman version");
  if (!version.ok)
    throw new CannotStart(`Podman does not answer as it should: ${version.stderr.trim()}`);
  if (!(await shell.aside("perl -MJSON::PP -e 1")).ok)
    throw new CannotStart(
      "A challenge reads JSON with perl's JSON::PP, which is not here. The package is perl on Debian, Ubuntu, Arch and Alpine, perl-JSON-PP on Fedora.",
    );
};

export default requirePodman;
