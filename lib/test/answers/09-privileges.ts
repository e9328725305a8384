/** Answers to the challenges of 09 · privileges, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";
import { mode } from "../testing.ts";

/** The rights to give back, where, and the rest of what locks oneself in. */
const lock = (rights: number, where: string) =>
  `perl -e '$r = pack "Q", ${rights}; ($s = syscall 444, $r, 8, 0) >= 0 or die; for (${where}) { open D, "<", $_ or next; $p = pack "Ql", ${rights}, fileno D; syscall 445, $s, 1, $p, 0 } syscall(446, $s, 0) and die; exec @ARGV'`;
const butHome = `grep { index "$ENV{HOME}/", "$_/" } glob("/*"), "."`;
const look = ["timeout 9 perl look", "true"];

export const answers: Answer[][] = [
  [
    {
      name: "no new privileges in place of a smaller bounding set",
      lines: [
        [
          "sudo unshare --net setpriv --bounding-set=-all,+net_bind_service --inh-caps=-all bash",
          "setpriv --no-new-privs timeout 9 perl serve",
          "true",
        ],
      ],
    },
    {
      name: "root of a user namespace of its own",
      lines: [
        [
          "unshare --user --map-root-user --net setpriv --bounding-set=-all,+net_bind_service bash",
          ...["timeout 9 perl serve", "true"],
        ],
      ],
    },
    {
      name: "all capabilities",
      lines: [["sudo unshare --net bash", "timeout 9 perl serve", "true"]],
      missing: { 1: /CapEff 0*1f/, 2: /CapBnd is 0*1f/ },
    },
    {
      name: "one more than that",
      lines: [
        [
          "sudo unshare --net setpriv --bounding-set=-all,+net_bind_service,+chown bash",
          ...["timeout 9 perl serve", "true"],
        ],
      ],
      missing: { 1: /CapEff 0*401/, 2: /CapBnd is 0*401/ },
    },
    {
      name: "a port that everyone may listen on",
      lines: [
        [
          "sudo unshare --net setpriv --bounding-set=-all,+net_bind_service bash",
          `timeout 9 perl -e "$(perl -pe 's/2, 80/2, 8080/' serve)" serve`,
          "true",
        ],
      ],
      missing: { 0: /Nobody listens/ },
    },
  ],
  [
    {
      name: "a /proc of its own in place of a capability",
      lines: [
        [
          "sudo unshare --mount --pid --fork --mount-proc bash -c 'mount --bind /dev/null secret; exec setpriv --bounding-set=-sys_admin bash'",
          "true",
        ],
      ],
    },
    {
      name: "another file on top, and hardly any capability",
      lines: [
        "touch empty",
        [
          "sudo unshare --mount bash -c 'mount --bind empty secret; exec setpriv --bounding-set=-all,+dac_override bash'",
          "true",
        ],
      ],
    },
    {
      name: "a root with all capabilities",
      lines: [["sudo unshare --mount bash -c 'mount --bind /dev/null secret; exec bash'", "true"]],
      missing: { 1: /CapEff is 0*1f/, 2: /bit 19/ },
    },
    {
      name: "a root that can look past it",
      lines: [
        [
          "sudo unshare --mount bash -c 'mount --bind /dev/null secret; exec setpriv --bounding-set=-sys_admin bash'",
          "true",
        ],
      ],
      missing: { 2: /bit 19 is set/ },
    },
    {
      name: "a file that nobody has any more",
      lines: [
        "cp secret copy; : > secret",
        [
          "sudo unshare --mount bash -c 'mount --bind copy secret; exec setpriv --bounding-set=-sys_admin,-sys_ptrace bash'",
          "true",
        ],
      ],
      missing: { 0: /still be read/, 3: /On the host/ },
    },
    {
      name: "the file on top of itself",
      lines: [
        [
          "sudo unshare --mount bash -c 'mount --bind secret secret; exec setpriv --bounding-set=-sys_admin,-sys_ptrace --inh-caps=-all bash'",
          "true",
        ],
      ],
      missing: { 0: /still be read/ },
    },
    {
      name: "a /proc that has somebody for whom nothing is covered",
      lines: [
        [
          "sudo unshare --mount --pid --fork --mount-proc bash",
          "unshare --mount bash",
          "mount --bind /dev/null secret; exec setpriv --bounding-set=-sys_admin bash",
          "true",
        ],
      ],
      missing: { 2: /bit 19 is set/ },
    },
    {
      name: "permissions, which are no hindrance to root",
      lines: [
        "chmod 000 secret",
        [
          "sudo unshare --mount setpriv --bounding-set=-sys_admin,-sys_ptrace --inh-caps=-all bash",
          "true",
        ],
      ],
      // Whose it is may not read it then either, but for root.
      missing:
        mode === "sudo"
          ? { 0: /Nothing is mounted/, 3: /cannot be read/ }
          : { 0: /Nothing is mounted/ },
    },
  ],
  [
    {
      name: "the right to read directories alone",
      lines: [[`setpriv --no-new-privs ${lock(8, butHome)} bash`, ...look]],
    },
    {
      name: "no right to read anything but what it takes",
      lines: [
        [
          `setpriv --no-new-privs ${lock(12, '"/usr", "/lib", "/lib64", "/etc", "/dev", "."')} bash`,
          ...look,
        ],
      ],
    },
    {
      name: "no lock at all",
      lines: [["setpriv --no-new-privs bash", ...look]],
      missing: { 2: /open\.$/ },
    },
    {
      name: "everything locked",
      lines: [[`setpriv --no-new-privs ${lock(8, '"."')} bash`, ...look]],
      missing: { 1: /could not open \/usr/ },
    },
    {
      name: "another home",
      lines: [["HOME=/no/such/home setpriv --no-new-privs bash", ...look]],
      missing: { 0: /HOME is another/ },
    },
    {
      name: "a home that something is mounted on",
      lines: [
        [
          "unshare --user --map-user=$(id -u) --mount setpriv --no-new-privs bash",
          `mount -t tmpfs none "$HOME" || true`,
          ...look,
        ],
      ],
      missing: { 0: /namespace of its own/, 2: /open\.$/ },
    },
  ],
];
