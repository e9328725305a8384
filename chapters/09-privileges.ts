#!/usr/bin/env -S npx tsx
/**
 * 09 · privileges: root with its hands tied
 *
 * **You know this:** '--cap-drop ALL', '--security-opt no-new-privileges', and '--privileged', with
 * which everything works all of a sudden.
 *
 * Root in a container is user 0, as outside. Namespaces decide what it sees; what it may do is up to
 * locks of another kind, which 'unshare' does not set. Each of them refuses by itself.
 *
 *          root in a container: mount(…), open(…)
 *     ┌──────────────────────▼─────────────────────┐
 *     │ seccomp: may that be called at all?        │
 *     │ capabilities: has it this right of root's? │
 *     │ mounts: is the path covered, or read-only? │
 *     └──────────────────────▼─────────────────────┘
 *                        the kernel
 *
 * @run npx tsx chapters/09-privileges.ts
 * @needs perl (perl-base, perl-interpreter, perl, perl)
 * @tries overlay, privileges
 * @see capabilities(7), setpriv(1), seccomp(2), prctl(2), user_namespaces(7)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { recorded, rowsOf } from "../lib/facts.ts";
import { parseMounts } from "../lib/kernel.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, table, rootfs, shell, beside }: Verbs) {
  const looks = $({ changes: "nothing, it only looks" });
  const own = enter({ changes: "a root shell in namespaces of its own; its / is the machine's" });
  const opens = (name: string) => `true 2> /dev/null >> /proc/sys/${name}; echo $?`;
  const [setting, forward] = [opens("vm/swappiness"), opens("net/ipv4/ip_forward")];
  const [rename, timers] = ["id -u; hostname free; hostname", "head -c 1 /proc/timer_list | wc -c"];
  const [caps, facts] = ["grep Cap /proc/self/status", "cat /proc/1/mountinfo /proc/1/status"];
  const nested = "unshare --user --map-root-user --mount --pid --fork --mount-proc echo hello";

  await part`Root is root`;
  say`Chapter 2's container. It opens two files for writing, though it writes nothing (0: it may; 1: not),
    and reads a byte of 'timer_list'. The first and the last are the machine's, so with --rootless they
    are out of reach. Then it makes a container of its own.`;
  const unshare = "sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc";
  const naive = await own`
    ${unshare} bash
    ${rename}
    ${setting}
    ${forward}
    ${timers}
    ${nested}
    ${facts}
    ${caps}
  `;
  const outside = await looks`sudo bash -c '${setting}'`;
  same("root in there may what root may out here", { outside, "in there": naive(setting) });

  await part`Capabilities`;
  say`Each bit of these numbers is a **capability**, one right of root's: to mount (in CAP_SYS_ADMIN), to
    own any file (CAP_CHOWN) … Eff, effective, is what a process may do; Prm, permitted, what it can
    make effective. A program that it starts gets Amb, ambient, and, if its file is marked for them, Inh,
    inheritable. Started by root it gets all of Bnd, the bounding set. So cut that, to Docker's fourteen.`;
  await $`CAPS=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap`;
  const again = "unshare --user --keep-caps grep CapEff /proc/self/status";
  const tied = await own`
    ${unshare} setpriv --bounding-set=$CAPS --inh-caps=-all bash
    ${rename}
    ${setting}
    chroot / pwd
    ${caps}
    ${again}
  `;
  const [all, fourteen] = [naive(caps), tied(caps)].map((text) => has("CapBnd", text));
  const Docker = both(has("CapBnd", recorded().text), all);
  same("these are Docker's, as far as root has them here", { Docker, yours: fourteen });
  differ("root cannot even change its host name", { all: naive(rename), fourteen: tied(rename) });
  differ("in a user namespace it has others", { fourteen, then: has("CapEff", tied(again)) });
  say`It has all of them, for what belongs to that namespace: there it may mount. And 'swappiness' is as
    open as before, for it is a file of root's. So fourteen capabilities are not all there is to it.`;

  await part`System calls, and programs that make root of anyone`;
  say`A **seccomp filter** is a program for the kernel to run before each system call. Seven instructions:
    load the architecture (32,0,0,4), for each has its own numbers; kill (6) unless it is $arch; load
    the number (32,0,0,0); if it is unshare's, fail with error 1; else allow. 'perl' hands them to
    prctl(2), and becomes the program that you name.`;
  await $`echo '($arch, $prctl, $unshare) = qx(uname -m) =~ /x86_64/ ? (0xC000003E, 157, 272) : (0xC00000B7, 167, 97);' > filter`;
  await $`echo '$f = pack "(SCCL)*", 32,0,0,4, 21,1,0,$arch, 6,0,0,0, 32,0,0,0, 21,0,1,$unshare, 6,0,0,0x50001, 6,0,0,0x7FFF0000;' >> filter`;
  await $`echo '$p = pack "Sx6P", length($f) / 8, $f; syscall($prctl, 22, 2, $p) and die "no filter: $!\n"; exec @ARGV' >> filter`;
  say`A program of root's that is setuid, such as 'sudo', makes root of anyone; but not of those with
    **no_new_privs**. Here it is a copy of 'grep'. 'anyone' becomes user 65534 (with --rootless there is no
    other, so it stays root), and gives up every capability.`;
  await $`echo '$capset = qx(uname -m) =~ /x86_64/ ? 126 : 91; ($<, $>) = (65534, 65534); syscall($capset, $v = pack("LL", 0x20080522, 0), $none = pack("x24")) and die; exec @ARGV' > anyone`;
  const [call, gain] = [
    "unshare --uts echo hello",
    "perl ../anyone ./grep CapEff /proc/self/status",
  ];
  const filtered = await enter({ changes: "a root shell with a filter, and a mount on 'suid'" })`
    sudo unshare --mount perl filter bash
    grep -E 'CapEff|Seccomp' /proc/self/status
    ${call}
    mkdir suid; mount -t tmpfs -o mode=755 tmpfs suid; cd suid; cp "$(type -P grep)" grep; chmod u+s grep
    ${gain}
    setpriv --no-new-privs ${gain}
  `;
  const unfiltered = await looks`sudo ${call}`;
  differ("root with every capability is refused", { unfiltered, filtered: filtered(call) });
  const without = has("CapEff", filtered(gain));
  const nnp = has("CapEff", filtered(`setpriv --no-new-privs ${gain}`));
  differ("with no_new_privs, nothing is gained", { without, with: nnp });

  await part`Covered paths`;
  const tools = [
    "cat",
    "grep",
    "head",
    "ls",
    "mount",
    "nsenter",
    "stat",
    "tr",
    "umount",
    "unshare",
  ];
  await rootfs("rootfs", "bash", ...tools, "wc");
  say`A container with all of it. Process 1 has its hands tied from the start, so somebody from outside
    makes its mounts, as in chapter 5. (--wd=/, or it would stand outside.) Settings become read-only, and
    'null' or nothing covers what tells too much: 'kcore' is all of the machine's memory.`;
  await $`mkdir -p rootfs/sys rootfs/dev upper work merged; touch rootfs/dev/null`;
  await $`echo 'cd "$0"; mount -t overlay overlay -o lowerdir=rootfs,upperdir=upper,workdir=work merged; cd merged; mount -t proc proc proc; mount -t sysfs -o ro sysfs sys; mount --bind /dev/null dev/null' > mounts`;
  await $`echo 'for P in proc/{bus,fs,irq,sys,sysrq-trigger}; do test ! -e $P || { mount --bind $P $P; mount -o remount,bind,ro $P; echo $P; }; done' >> mounts`;
  await $`echo 'for P in proc/{kcore,keys,latency_stats,timer_list}; do test ! -e $P || { mount --bind dev/null $P; echo $P; }; done' >> mounts`;
  await $`echo 'for P in proc/{acpi,asound,scsi} sys/firmware; do test ! -d $P || { mount -t tmpfs -o ro tmpfs $P; echo $P; }; done; pivot_root . .; hash -r; umount -l .' >> mounts`;
  const undo = "by 'kill', at the end";
  await $({
    changes: "a process that sleeps, no more",
    undo,
  })`STARTED=$(sudo bash -c 'setsid unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child --wd=/ perl "$PWD/filter" setpriv --bounding-set='$CAPS' --inh-caps=-all sleep 1d &> container.log & echo $!')`;
  await looks`PID=$(sudo timeout 5 bash -c "until pgrep -P $STARTED sleep; do sleep .1; done") || ! cat container.log`;
  const asked = await $({
    changes: "mounts of the container's, no others",
  })`sudo nsenter --target $PID --mount --net --pid bash -c "$(cat mounts)" "$WORK"`;
  const mine = `sudo nsenter --target "$PID" --mount --uts --ipc --net --pid ${shell}`;
  const safe = await enter({ changes: "a root shell in the container, with its hands free" })`
    ${mine}
    ${forward}
    ${timers}
    ${nested}
    ${facts}
  `;
  differ("no setting can be opened for writing", { before: naive(forward), now: safe(forward) });
  differ("a covered file is empty", { before: naive(timers), now: safe(timers) });
  differ("nobody mounts a /proc with nothing covered", {
    before: naive(nested),
    now: safe(nested),
  });
  const covered = parseMounts(safe(facts)).map(({ point }) => point.replace("/", ""));
  const inMountinfo = covered.filter((point) => /^(proc|sys)\/./.test(point));
  same("mountinfo has each of them", { mounted: asked.stdout.trim().split("\n"), inMountinfo });
  const nines = (text: string) =>
    rowsOf(text, recorded().machine).filter(([chapter]) => chapter === 9);
  const [theirs, ours] = [nines(naive(facts)), nines(safe(facts))];
  table(
    ["", "chapter 2's, or with --privileged", "this one's"],
    ...ours.map(([, what, value], at) => [what, theirs[at]![2], value]),
  );
  await beside(mine);
  await $({ changes: "the container ends" })`sudo kill -9 $PID`;
}

/** A number in what /proc/PID/status holds. */
function has(name: string, text: string) {
  return new RegExp(`^${name}:\\s*(\\w+)`, "m").exec(text)?.[1];
}

/** What two sets of capabilities have in common. */
function both(...sets: (string | undefined)[]) {
  const [one = 0n, other = 0n] = sets.map((set) => BigInt(`0x${set ?? 0}`));
  return (one & other).toString(16).padStart(16, "0");
}
