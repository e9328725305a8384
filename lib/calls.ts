/**
 * System calls that a container is asked for, and what Docker's says to them.
 *
 * @see syscalls(2), seccomp(2), errno(3)
 */
import { readFileSync } from "node:fs";

/**
 * In perl: makes each of these calls with arguments that nothing can be done with, and prints what the
 * kernel answers. A number is that of x86-64; the second, if it differs, is that of arm64. Which one
 * counts stands in the header of perl's own file, see elf(5).
 */
export const calls = String.raw`
@calls = split ", ", join " ", "syslog 103 116, pivot_root 155 41, acct 163 89, settimeofday 164 170,",
  "mount 165 40, umount2 166 39, swapon 167 224, swapoff 168 225, reboot 169 142, sethostname 170 161,",
  "setdomainname 171 162, init_module 175 105, delete_module 176 106, quotactl 179 60, keyctl 250 219,",
  "lookup_dcookie 212 18, clock_settime 227 112, mbind 237 235, set_mempolicy 238 237,",
  "get_mempolicy 239 236, kexec_load 246 104, add_key 248 217, request_key 249 218, unshare 272 97,",
  "move_pages 279 239, perf_event_open 298 241, fanotify_init 300 262, name_to_handle_at 303 264,",
  "open_by_handle_at 304 265, setns 308 268, process_vm_readv 310 270, process_vm_writev 311 271,",
  "kcmp 312 272, finit_module 313 273, kexec_file_load 320 294, bpf 321 280, userfaultfd 323 282,",
  "pkey_mprotect 329 288, pkey_alloc 330 289, pkey_free 331 290, open_tree 428, move_mount 429,",
  "fsopen 430, fsconfig 431, fsmount 432, fspick 433, pidfd_getfd 438, process_madvise 440,",
  "mount_setattr 442, quotactl_fd 443, clone3 435, set_mempolicy_home_node 450, getpid 39 172,",
  "openat 257 56, mknodat 259 33, ptrace 101 117, setuid 105 146, kill 62 129, socket 41 198,",
  "inotify_init1 294 26, epoll_create1 291 20, memfd_create 319 279, prctl 157 167, capset 126 91,",
  "seccomp 317 277, close_range 436";
open PERL, "/proc/self/exe"; read PERL, $elf, 19; $intel = ord(substr $elf, 18) == 62;
for (@calls) {
  ($name, $number, $other) = split; $other = $number if $intel or !$other;
  $answer = syscall $other + 0, (-1) x 6;
  push @{$said{$answer < 0 ? "$!" : "done"}}, $name;
}
print "$_: @{$said{$_}}\n" for sort keys %said;`.trim();

/** What dev/record.ts has recorded in one of Docker's containers: of what, and what it printed. */
export function recordedCalls() {
  const file = readFileSync(new URL("calls.txt", import.meta.url), "utf8");
  const [about = "", text = ""] = file.split("\n\n");
  return { about, text };
}

/** The calls that were refused, of what {@link calls} has printed: by a filter, or as unknown. */
export function refusedIn(printed: string): string[] {
  const lines = printed.match(/^(Operation not permitted|Function not implemented): .*/gm) ?? [];
  return lines.flatMap((line) => line.replace(/^.*: /, "").split(" "));
}
