/**
 * Can a network be made in namespaces: of cables, bridges, and rules that rewrite addresses?
 *
 * @see veth(4), ip(8), nft(8), modprobe(8)
 */
import { read } from "../kernel.ts";
import { CannotStart, type Try } from "../preflight.ts";
import { findProgram } from "../shell.ts";
import { outside } from "./namespaces.ts";

/** One of each kind that the chapter makes; each line must succeed. */
const kinds = `set -e
ip link set lo up; ping -c 1 127.0.0.1 > /dev/null
ip link add one type veth peer name two; ip link add three type bridge; ip link set one master three
echo 1 > /proc/sys/net/ipv4/ip_forward
nft "table t { chain a { type nat hook postrouting priority 100; oifname one counter masquerade; }; }"
nft "table t { chain b { type nat hook output priority -100; tcp dport 1 counter dnat to 10.0.0.1:1; }; }"`;

/** Makes them in a network namespace that is gone afterwards. */
const requireNetwork: Try = async (shell) => {
  const ip = findProgram("ip");
  if (ip && read(ip).includes("BusyBox v"))
    throw new CannotStart(
      `${ip} is BusyBox's ip, which knows no cables (veth). The package is iproute2 on Debian, Ubuntu, Arch and Alpine, iproute on Fedora.`,
    );
  const attempt = await shell.aside(`sudo unshare --net bash -c '${kinds}'`);
  if (attempt.ok) return;
  const refusal = attempt.stderr
    .trim()
    .split("\n", 1)[0]!
    .replace(/^.*line \d+: /, "");
  throw new CannotStart(`Networks cannot be made here: ${refusal}.\n${whyNot(refusal)}`);
};

export default requireNetwork;

/** The likely reason. */
function whyNot(refusal: string): string {
  if (/permitted|denied|Read-only/i.test(refusal)) return `Perhaps this is a container. ${outside}`;
  return `This kernel has no veth, bridge or nf_tables, or its modules are not on the disk, as after an update of the kernel: \`modprobe --all veth bridge nft_masq\` says which. Restart the machine, or use one with a distribution's own kernel.`;
}
