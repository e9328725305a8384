#!/usr/bin/env -S npx tsx
/**
 * 09 · privileges: root with its hands tied
 *
 * **You know this:** '--cap-drop ALL', '--security-opt no-new-privileges', and '--privileged'.
 *
 * Root in a container is user 0, as outside. Namespaces decide what it sees. Other locks decide what
 * it may do, and 'unshare' sets none of them. Each refuses by itself:
 *
 *     mount(…), open(…): root in a container asks the kernel
 *     ├── seccomp         may that be called at all?
 *     ├── capabilities    has it this right of root's?
 *     └── mounts          is the path covered, or read-only?
 *
 * @run npx tsx chapters/09-privileges.ts
 * @needs perl (perl-base, perl-interpreter, perl, perl)
 * @tries overlay, privileges
 * @see capabilities(7), setpriv(1), seccomp(2), prctl(2), user_namespaces(7)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { recorded, rowsOf } from "../lib/facts.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, table, rootfs, shell, beside }: Verbs) {
  const looks = $({ changes: "nothing, it only looks" });
  const own = enter({ changes: "a root shell in namespaces of its own; its / is the machine's" });
  const unshare = "sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc";
  const opens = (name: string) => `true 2> /dev/null >> /proc/sys/${name}; echo $?`;
  const [setting, forward] = [opens("vm/swappiness"), opens("net/ipv4/ip_forward")];
  const [rename, timers] = ["hostname free; hostname", "grep -cm1 . /proc/timer_list"];
  const nested = "unshare --user --map-root-user --mount --pid --fork --mount-proc echo hello";
  const facts = "grep -E 'Cap|NoNew|Secc' /proc/1/status; cat /proc/1/mountinfo";
  const has = (text: string, name: string) => new RegExp(`${name}:\\s*(\\w+)`).exec(text)?.[1];

  await part`Root is root`;
  say`Root in chapter 2's container opens two settings for writing (0: it may; nothing is written), reads 'timer_list', and starts a container of its
    own. 'swappiness' and 'timer_list' are about the whole machine. (With --rootless they are out of reach, unless root starts it.)`;
  const naive = await own`
    ${unshare} bash
    id -u
    ${rename}
    ${setting}
    ${forward}
    ${timers}
    ${nested}
    ${facts}
  `;
  const outside = await looks`sudo bash -c '${setting}'`;
  same("root in there may do what root may out here", { outside, inside: naive(setting) });

  await part`Capabilities`;
  say`In /proc/PID/status each line that begins with 'Cap' is a set, and each bit of it a **capability**, one right of root's. Effective ones (Eff) count;
    permitted ones (Prm) can be made effective. When a program is started, these two are worked out anew: if root starts it, from Bnd, the bounding set, which
    only shrinks (and is full in a new user namespace); if another user does, from the ambient ones and what its file is marked for. So cut Bnd to Docker's.`;
  await $`CAPS=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap`;
  const tied = await own`
    ${unshare} setpriv --bounding-set=$CAPS --inh-caps=-all bash
    ${rename}
    ${setting}
    id -u; chroot / pwd; mount -t tmpfs none /mnt
    grep Cap /proc/self/status
    unshare --user --keep-caps grep Cap /proc/self/status
  `;
  const bits = (text: string) => BigInt(`0x${has(text, "CapBnd") ?? 0}`);
  const Docker = (bits(recorded().text) & bits(naive(facts))).toString(16).padStart(16, "0");
  const left = has(tied("grep Cap /proc/self/status"), "CapBnd");
  same("left are Docker's fourteen, as far as root has them here", { Docker, left });
  differ("it cannot change its host name any more", { all: naive(rename), tied: tied(rename) });
  const then = has(tied("unshare --user --keep-caps grep Cap /proc/self/status"), "CapEff");
  differ("in a user namespace of its own it has others", { before: left, then });
  say`Mounting takes CAP_SYS_ADMIN, which is not among the fourteen. In a user namespace of its own this shell has that again, but only over what belongs
    there (--keep-caps: also when 'grep' is started). And 'swappiness' is a file of root's, open as before: capabilities alone do not tie root's hands.`;

  await part`System calls, and programs that make you root`;
  say`A **seccomp filter** is a little program that the kernel runs before each system call. Each call has a number, and each kind of processor has its
    own list. This one says, in seven instructions: on another kind, end it; if it is 'unshare', answer "Operation not permitted"; else go on. 'perl' hands
    it to prctl(2). Docker's is longer: it refuses clone(2), too, where that is to make namespaces, and 'mount', which is thus locked twice: by the filter,
    and by the capabilities.`;
  await $`echo '($arch, $prctl, $unshare) = qx(uname -m) =~ /x86_64/ ? (0xC000003E, 157, 272) : (0xC00000B7, 167, 97);' > filter`;
  await $`echo '$f = pack "(SCCL)*", 32,0,0,4, 21,1,0,$arch, 6,0,0,0, 32,0,0,0, 21,0,1,$unshare, 6,0,0,0x50001, 6,0,0,0x7FFF0000;' >> filter`;
  await $`echo '$p = pack "Sx6P", length($f) / 8, $f; syscall($prctl, 22, 2, $p) and die "no filter: $!"; exec @ARGV' >> filter`;
  say`A setuid program runs as its owner. So one of root's makes root of anyone, but not of those with **no_new_privs**. The script 'anyone'
    becomes user 65534 (with --rootless it stays root), drops all capabilities, and starts a setuid 'grep'.`;
  await $`echo '$capset = qx(uname -m) =~ /x86_64/ ? 126 : 91; ($<, $>) = (65534, 65534); syscall($capset, $v = pack("LL", 0x20080522, 0), $none = pack("x24")) and die; exec @ARGV' > anyone`;
  const gain = "perl ../anyone ./grep -E 'Uid|CapEff' /proc/self/status";
  const filtered = await enter({ changes: "a root shell with a filter, and a mount on 'suid'" })`
    sudo unshare --mount perl filter bash
    grep -E 'CapEff|Seccomp' /proc/self/status
    ${nested}
    mkdir suid; mount -t tmpfs -o mode=755 tmpfs suid; cd suid; cp "$(type -P grep)" grep; chmod u+s grep
    ${gain}
    setpriv --no-new-privs ${gain}
  `;
  differ("root with all rights is refused", { naive: naive(nested), tied: filtered(nested) });
  const got = (how: string) => has(filtered(how + gain), "CapEff");
  differ("no_new_privs: nothing gained", { gained: got(""), not: got("setpriv --no-new-privs ") });

  await part`Covered paths`;
  await rootfs("rootfs", "bash", ..."cat grep ls mount nsenter stat tr umount unshare".split(" "));
  say`Now chapter 5's container with all these locks (but no_new_privs, which Docker sets only if told to). Its mounts are made from outside. Settings become
    read-only; files that tell too much are covered by 'null', directories by an empty tmpfs. ('--wd=/': pivot_root takes along a process whose working directory
    is the old /.) Your shell in there has no filter, and still it can start no container: the kernel gives no new /proc to those who see only a covered one.`;
  await $`echo 'set -e; cd "\${0%/*}"; mkdir -p upper work merged rootfs/sys rootfs/dev; touch rootfs/dev/null; mount -t overlay overlay -o lowerdir=rootfs,upperdir=upper,workdir=work merged; cd merged; mount -t proc proc proc; mount -t sysfs -o ro sysfs sys; mount --bind /dev/null dev/null' > mounts`;
  await $`echo 'for P in bus fs irq sys sysrq-trigger; do test ! -e proc/$P || { mount --bind proc/$P proc/$P; mount -o remount,bind,ro proc/$P; echo $P; }; done' >> mounts`;
  await $`echo 'for P in proc/{kcore,keys,latency_stats,sched_debug,timer_list}; do test ! -e $P || { mount --bind dev/null $P; echo $P; }; done; for P in proc/{acpi,asound,scsi} sys/{firmware,devices/virtual/powercap}; do test ! -d $P || { mount -t tmpfs -o ro tmpfs $P; echo $P; }; done; pivot_root . .; hash -r; umount -l .' >> mounts`;
  const box = $({ changes: "a container that sleeps", undo: "by 'kill', at the end" });
  await box`STARTED=$(sudo bash -c 'setsid unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child --wd=/ perl "$PWD/filter" setpriv --bounding-set='$CAPS' --inh-caps=-all sleep 1d &> container.log & echo $!')`;
  await looks`PID=$(sudo timeout 30 bash -c "until pgrep -P $STARTED sleep; do sleep .1; done") || ! cat container.log`;
  const made = await box`sudo nsenter --target $PID --mount --net --pid bash "$WORK/mounts"`;
  const mine = `sudo nsenter --target "$PID" --mount --uts --ipc --net --pid ${shell}`;
  const safe = await enter({ changes: "a root shell in the container, with its hands free" })`
    ${mine}
    ${forward}
    ${timers}
    ${nested}
    ${facts}
  `;
  differ("no setting can be written", { before: naive(forward), now: safe(forward) });
  differ("what is covered is empty", { before: naive(timers), now: safe(timers) });
  differ("no new /proc where it is covered", { before: naive(nested), now: safe(nested) });
  const rows = (text: string) => rowsOf(text, recorded().machine).filter(([from]) => from === 9);
  const [theirs, ours] = [rows(naive(facts)), rows(safe(facts))];
  const seen = ours.slice(3).flatMap(([, , paths = ""]) => paths.split(" "));
  same("mountinfo has each of them", { made: made.stdout.trim().split("\n"), seen });
  table(["", "your first", "this one"], ...ours.map(([, row, it], n) => [row, theirs[n]?.[2], it]));
  say`**--privileged** leaves all these locks out, and adds all devices. What that is like is in the column of your first container.`;
  await beside(mine);
  await box`sudo kill -9 $STARTED`;
}
