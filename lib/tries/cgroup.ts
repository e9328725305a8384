/**
 * Can groups of processes be limited? That takes cgroups of version 2 alone, the controllers cpu,
 * memory and pids, and a kernel that hands them down.
 *
 * @see cgroups(7), the kernel's admin-guide/cgroup-v2
 */
import { fileSystemOf, idsAreMapped, read } from "../kernel.ts";
import { CannotStart, type Try } from "../preflight.ts";
import { outside } from "./namespaces.ts";

/** Where cgroups are mounted. */
const groups = "/sys/fs/cgroup";

/** Refuses cgroups of version 1, or of both versions side by side. See cgroups(7). */
export function requireUnifiedCgroups() {
  if (fileSystemOf(groups).type !== "cgroup2")
    throw new CannotStart(
      `This chapter is about cgroups of version 2, and ${groups} is not theirs here: this machine has version 1, or both side by side. With systemd, the kernel parameter systemd.unified_cgroup_hierarchy=1 changes that; on WSL2, kernelCommandLine=cgroup_no_v1=all in .wslconfig. Or use a virtual machine with a current distribution.`,
    );
}

/** Makes a group, has the controllers handed down to it that are not yet, and undoes both. */
const requireCgroups: Try = async (shell) => {
  requireUnifiedCgroups();
  const offered = read(`${groups}/cgroup.controllers`).split(/\s/);
  const missing = ["cpu", "memory", "pids"].filter((each) => !offered.includes(each));
  if (missing.length > 0)
    throw new CannotStart(
      `There is no controller for ${missing.join(" and ")} here (${groups}/cgroup.controllers), so that cannot be limited. ${idsAreMapped() ? "Root decides what systemd hands to a user, from the next login on: sudo systemctl edit user@.service, with Delegate=cpu memory pids below [Service]." : "Is it off on the kernel's command line? For memory on a Raspberry Pi: cgroup_enable=memory."}`,
    );
  if (read("/proc/sys/vm/panic_on_oom").trim() === "2")
    throw new CannotStart(
      "This kernel panics when a group has no more memory (vm.panic_on_oom is 2), and this chapter has it run out.",
    );
  const attempt = await shell.aside(
    `sudo bash -c 'trap "" INT QUIT HUP TERM; cd ${groups}; new=$(for c in cpu memory pids; do grep -qw $c cgroup.subtree_control || echo +$c; done); mkdir $0 || exit; echo $new > cgroup.subtree_control && ls $0/cgroup.kill $0/memory.swap.max && (echo $BASHPID > $0/cgroup.procs); status=$?; rmdir $0; for c in $new; do echo -\${c#+} > cgroup.subtree_control; done; exit $status' by-hand-try.${process.pid}`,
  );
  if (attempt.ok) return;
  const refusal = attempt.stderr.trim().replace(/^\S+ line 1: (echo: )?/gm, "");
  throw new CannotStart(`Groups cannot be limited here: ${refusal}.\n${whyNoGroup(refusal)}`);
};

/** The likely reason why a group was refused. */
function whyNoGroup(refusal: string): string {
  if (/cgroup\.kill/.test(refusal)) return "This chapter takes Linux 5.14 or newer.";
  if (/memory\.swap\.max/.test(refusal)) return "This kernel cannot keep a group from swapping.";
  // The kernel's admin-guide/cgroup-v2, "CPU".
  if (/Invalid argument/.test(refusal))
    return "This kernel hands cpu down only while no real-time process is in a group. To find them: ps -eo cls,pid,args | grep -E '^ *(FF|RR)'";
  // cgroups(7), "no internal processes".
  if (/busy/.test(refusal))
    return "The processes of a container are in its topmost group, so that cannot be divided. Run it outside of the container, or in one that was started with --privileged --cgroupns=host.";
  return `Perhaps this is a container. ${outside}`;
}

export default requireCgroups;
