/**
 * Can root's hands be tied here, and is anything left to tie? That takes a kernel with seccomp
 * filters, and a root who may make user namespaces and mount in them.
 *
 * @see seccomp(2), setpriv(1), prctl(2), user_namespaces(7)
 */
import { read } from "../kernel.ts";
import { CannotStart, type Try } from "../preflight.ts";
import { whyNoUserNamespace } from "./ids.ts";
import { outside } from "./namespaces.ts";

/** Loads a filter that allows everything, as the chapter loads its own. */
export const load = `perl -e '$prctl = qx(uname -m) =~ /x86_64/ ? 157 : 167; $f = pack "SCCL", 6,0,0,0x7FFF0000; $p = pack "Sx6P", 1, $f; syscall($prctl, 22, 2, $p) and die "$!\\n"'`;

/** What is tried as root, and what is said if it fails. */
const attempts: [line: string, what: string, why: (refusal: string) => string][] = [
  [`sudo ${load}`, "This kernel takes no seccomp filter", whyNoFilter],
  [
    "sudo setpriv --bounding-set=-sys_admin --inh-caps=-all bash -c 'unshare --mount true 2> /dev/null && echo They stay >&2 && exit 1; exec unshare --user --keep-caps true'",
    "Root may not give up capabilities here, or then not make a user namespace",
    whyNoUserNamespace,
  ],
  [
    "sudo unshare --mount --net --pid --fork --mount-proc bash -c 'mount -t sysfs sysfs /sys && unshare --user --map-root-user --mount --pid --fork --mount-proc true'",
    "No /proc and /sys can be mounted in a container here",
    whyNoUserNamespace,
  ],
];

const requirePrivileges: Try = async (shell) => {
  if (/^NoNewPrivs:\s*1/m.test(read("/proc/self/status")))
    throw new CannotStart(
      "This shell has no_new_privs already (NoNewPrivs in /proc/self/status is 1), and hands it to all that it starts, so the chapter cannot show the difference. Use another terminal, outside of whatever has set it.",
    );
  for (const [line, what, why] of attempts) {
    const { ok, stderr } = await shell.aside(line);
    if (!ok) throw new CannotStart(`${what}: ${stderr.trim()}.\n${why(stderr)}`);
  }
};

export default requirePrivileges;

/** The likely reason why a filter was refused. */
export function whyNoFilter(): string {
  if (!["x64", "arm64"].includes(process.arch))
    return `The chapter's filter is for x86-64 and arm64, where it knows the numbers of system calls, and this is ${process.arch}.`;
  if (!/^Seccomp:/m.test(read("/proc/self/status")))
    return "It was built without them (CONFIG_SECCOMP_FILTER). Use a virtual machine with a current distribution.";
  return `Is this an emulator, a 32-bit perl, or a container? ${outside}`;
}
