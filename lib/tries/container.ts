/**
 * Can a whole container be made here? That takes a kernel with seccomp filters, cables and bridges, and
 * a root who may give up capabilities.
 *
 * @see seccomp(2), veth(4), capabilities(7)
 */
import { CannotStart, type Try } from "../preflight.ts";
import { outside } from "./namespaces.ts";
import { load, whyNoFilter } from "./privileges.ts";

const requireContainer: Try = async (shell) => {
  const filter = await shell.aside(`sudo ${load}`);
  if (!filter.ok)
    throw new CannotStart(
      `This kernel takes no seccomp filter: ${filter.stderr.trim()}.\n${whyNoFilter()}`,
    );
  const line =
    "sudo unshare --net sh -c 'ip link add one type veth peer name two && ip link add three type bridge && ip link set one master three'";
  const cable = await shell.aside(line);
  if (!cable.ok)
    throw new CannotStart(
      `Networks cannot be made here: ${cable.stderr.trim()}.\nThis kernel has no veth or bridge, or their modules are not on the disk, as after an update of the kernel: \`modprobe --all veth bridge\` says which. Or perhaps this is a container. ${outside}`,
    );
};

export default requireContainer;
