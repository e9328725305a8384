/** Answers to the challenges of 11 · container, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

const box = "sudo ./by-hand run app:base sleep 1d";
const volume = `sed -i '/mount -t overlay/a mkdir "$NAME/merged/data"; mount --bind volume "$NAME/merged/data"' by-hand`;
const readOnly = `sed -i 's|become [.] |mount -o remount,ro,bind "$PWD"; &|' by-hand`;

const three = `for IT in ONE TWO THREE; do export $IT=$(${box}); done; sudo ./by-hand exec $ONE --perl "$(cat ask)" 10.0.9.3`;
const unplug = "sudo nsenter --net=bridge ip link set v$THREE nomaster";
const askOne = 'sudo ./by-hand exec $THREE --perl "$(cat ask)" 10.0.9.2';

/** A runtime that makes everything at 'start' only, and has no fifo. */
const runtime = String.raw`cat > runtime <<'END'
#!/bin/bash
cd "$(dirname "$(realpath "$0")")"
while [[ $1 == -* ]]; do shift; done
case $1 in
create) echo "$3" > bundle
  unshare --mount --uts --ipc --net --pid --fork ./runtime inside &
  timeout 20 sh -c "until [ -s pid ]; do sleep .1; done"; kill -9 $!; cat pid > "$5" ;;
start) touch go ;;
state) printf '{"ociVersion":"1.0.2","id":"%s","pid":%s,"status":"running"}' "$2" "$(cat pid)" ;;
kill) kill -9 "$(cat pid)" ;;
delete) rm -f pid go ;;
inside) read -r IT _ < /proc/self/stat; echo $IT > pid; until [ -e go ]; do sleep .1; done
  exec perl -MJSON::PP -e '
    open C, "$ARGV[0]/config.json"; $c = decode_json(join "", <C>); close C; $new = $c->{root}{path};
    system("mount", "--rbind", $new, $new); chdir $new; mkdir "old"; $old = "old"; $dot = "."; ($p, $u) = qx(uname -m) =~ /x86_64/ ? (155, 166) : (41, 39);
    syscall $p, $dot, $old; chdir "/"; syscall $u, $old, 2; rmdir "old";
    delete @ENV{keys %ENV}; /(.*?)=(.*)/ and $ENV{$1} = $2 for @{$c->{process}{env}};
    exec {$c->{process}{args}[0]} @{$c->{process}{args}}' "$(cat bundle)" ;;
esac
END
chmod +x runtime`;
const podman = "sudo bash box --detach sleep 1d";
const wrong = (step: string, instead: string) => [runtime.replace(step, instead), podman];

/** Changes of 'config.json', each of which makes something of it Docker's. */
const others =
  "CHOWN DAC_OVERRIDE FOWNER FSETID SETGID SETUID SETPCAP NET_RAW SYS_CHROOT MKNOD SETFCAP";
const changes = {
  rights: `s/"CAP_KILL",/&${others.replace(/(\w+) ?/g, '"CAP_$1",')}/`,
  filter: String.raw`s/"linux": {/&"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO"}]},/`,
  privileges: `s/"noNewPrivileges": true/"noNewPrivileges": false/`,
  writable: `s/"readonly": true/"readonly": false/`,
};
const lasts = `s/"sh"/"sleep", "1d"/; s/"terminal": true/"terminal": false/; /"gid=5"/d; s/"mode=0620",/"mode=0620"/`;
/** Starts the bundle, without some of them. */
const bundle = (...without: (keyof typeof changes)[]) => {
  const made = Object.entries(changes).filter(([name]) => !without.some((each) => each === name));
  return [
    `sed -i '${[lasts, ...made.map(([, change]) => change)].join("; ")}' config.json`,
    "sudo bash box",
  ];
};

export const answers: Answer[][] = [
  [
    { name: "a remount just before pivot_root", lines: [volume, readOnly, box] },
    { name: "a / that can be written to", lines: [volume, box], missing: { 0: /can write/ } },
    { name: "no volume", lines: [readOnly, box], missing: { 1: /not mounted/ } },
    {
      name: "a volume that is read-only",
      lines: [volume, `sed -i 's/--bind volume/-o ro &/' by-hand`, readOnly, box],
      missing: { 1: /read-only/ },
    },
    {
      name: "no filter",
      lines: [volume, readOnly, "sed -i 's/call $prctl, 22.*$filter;//' by-hand", box],
      missing: { 2: /no filter/ },
    },
    {
      name: "one capability more, which may mount",
      lines: [volume, readOnly, "sed -i 's/0xA80425FB/0xA82425FB/' by-hand", box],
      missing: { 2: /CapEff is 0*a82425fb/ },
    },
  ],
  [
    { name: "a cable that is unplugged", lines: [three, unplug, askOne] },
    { name: "the same, and a fourth container", lines: [three, box, unplug, askOne] },
    { name: "three on one bridge", lines: [three, askOne], missing: { 2: /has answered/ } },
    { name: "one who does not ask", lines: [three, unplug], missing: { 2: /has not asked/ } },
    {
      name: "two who do not talk",
      lines: [three.replace("10.0.9.3", "10.0.9.9"), unplug, askOne],
      missing: { 0: /have not/ },
    },
  ],
  [
    { name: "sed", lines: bundle() },
    {
      name: "the rights of 'runc spec'",
      lines: bundle("rights"),
      missing: { 2: /CapEff is 0*20/ },
    },
    { name: "no filter", lines: bundle("filter"), missing: { 3: /no filter/ } },
    { name: "no new privileges", lines: bundle("privileges"), missing: { 3: /NoNewPrivs is 1/ } },
    { name: "a / to read", lines: bundle("writable"), missing: { 1: /read-only/ } },
    {
      name: "a container without runc",
      lines: ["sudo unshare --pid --fork --kill-child sleep 1d &> log &"],
      missing: { 0: /not started by 'box'/, 1: /host's mnt/, 2: /CapEff/, 3: /no filter/ },
    },
  ],
  [
    { name: "a runtime that makes all at the start", lines: [runtime, podman] },
    {
      name: "Podman's own runtime",
      lines: [
        `sed -i 's|"$PWD/runtime"|runc|; s/ run / run --ulimit nofile=1024:4096 --ulimit nproc=1000:1000 /' box`,
        podman,
      ],
      missing: { 0: /names/ },
    },
    {
      name: "a namespace less",
      lines: wrong("--ipc ", ""),
      missing: { 1: /host's ipc/ },
    },
    {
      name: "an old / that is left",
      lines: wrong("syscall $u, $old, 2;", ""),
      missing: { 2: /on \/old/ },
    },
    {
      name: "a chroot",
      lines: wrong("syscall $p, $dot, $old;", "chroot $dot;"),
      missing: { 2: /another \// },
    },
    {
      name: "variables of its own",
      lines: wrong("delete @ENV{keys %ENV};", "$ENV{MINE} = 1;"),
      missing: { 3: /Nobody has asked for/ },
    },
    {
      name: "another program",
      lines: wrong("@{$c->{process}{args}}'", `"sleep", "1h"'`),
      missing: { 3: /It is sleep 1h/ },
    },
  ],
];
