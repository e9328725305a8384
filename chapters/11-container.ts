#!/usr/bin/env -S npx tsx
/**
 * 11 · container: the kernel cannot tell it from Docker's
 *
 * **You know this:** 'docker run -m 64m -p 8080:80', 'exec', 'ps', 'logs', 'stop' and 'rm'.
 *
 * By now you have made every part of a container by hand. What is left is their order: each needs something
 * that a later one takes away. Here they become one script, 'by-hand', which you can keep.
 *
 *     run ──► limits, a bridge  while it is root of the machine
 *      └─► new namespaces, and the cable into them
 *           └─► layers, mounts  while the old / is there
 *                └─► into its limits, and from here it counts
 *                     └─► pivot_root, while the kernel lets it
 *                          └─► filter, then capabilities, then
 *                               └─► your program
 *
 * @run npx tsx chapters/11-container.ts
 * @needs perl (perl-base, perl-interpreter, perl, perl), flock (util-linux, util-linux, util-linux, flock)
 * @tries overlay, container
 * @see pivot_root(2), seccomp(2), setns(2), capabilities(7), cgroups(7)
 */
import { calls, recordedCalls, refusedIn } from "../lib/calls.ts";
import { chapter, type Verbs } from "../lib/chapter.ts";
import { recorded } from "../lib/facts.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, table, rootfs, shell, beside }: Verbs) {
  const looks = $({ changes: "nothing, it only looks" });
  const box = $({
    changes: "containers, and where cgroups are of version 2, a group for each",
    undo: "by 'rm', at the end",
    undoneBy: "test ! -x ${WORK@Q}/by-hand || sudo ${WORK@Q}/by-hand rm --all",
  });
  const rights = "grep -E 'CapEff|Seccomp:' /proc/self/status";

  await part`What is still missing`;
  say`Two layers, as in chapter 10, for later. First a container by hand, of one of them alone: look at its
    rights.`;
  await rootfs("base", ..."bash cat grep ls nsenter sleep stat tr".split(" "));
  await $`mkdir app; echo "greetings from app" > app/greeting`;
  const naive = await enter({ changes: "a root shell in new namespaces, with 'base' as its /" })`
    sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc --root base ${shell}
    ${rights}
  `;
  const [Docker] = /CapEff:.*\n/.exec(recorded().text) ?? [];
  const [its] = /CapEff:.*/.exec(naive(rights)) ?? [];
  differ("root in there has rights that Docker's lacks", { its, Docker });

  await part`One script`;
  say`Each container will be a directory beside 'by-hand', and a file, 'NAME.by-hand'. That is made first and removed last,
    so 'rm' finds whatever was begun. In the directory there is a fifo, a pipe with a name: 'ready'. The container runs
    if the process in its file 'pid' has the container's own /etc/hostname: numbers are used again, names are not.`;
  await $`cat > by-hand <<'END'
    #!/bin/bash
    # by-hand: a container of what chapters 1 to 10 are about. Each has a directory beside this file.
    # shellcheck disable=SC2015,SC2016,SC2086
    set -euo pipefail; cd "$(dirname "$(realpath "$0")")"; TOP=/sys/fs/cgroup
    HELP='As root:  by-hand run [-m 64m] [-p 8080:80] [--net NAME] LAYERS PROGRAM...    prints its NAME
              by-hand exec NAME PROGRAM... | ps | logs NAME | stop [-t 10] NAME | rm NAME | rm --all
    LAYERS: directories beside by-hand, the topmost first, such as app:base. -p: on 127.0.0.1 alone.
    --net: in the network of NAME. With --perl CODE as PROGRAM, perl of this machine runs in there.'
    fail() { echo "by-hand: $1" >&2; exit 1; }
    known() { [[ \${1-/} != */* && -f $1.by-hand ]] || fail "there is no container \${1-}"; }
    runs() { PID=$(cat "$1/pid" 2> /dev/null) && grep -qs "/$1/hostname " "/proc/$PID/mountinfo"; }
    END`;
  say`'run' makes what needs the machine's root, first of all a trap: whatever fails, 'rm' undoes. Then
    another process starts the container, and writes to 'ready' why it cannot. 'ready' closes as the program
    starts.`;
  await $`cat >> by-hand <<'END'
    run() {
      MEMORY=64m PORT='' POD='' GROUP='' ADDRESS=''; while [ $# -gt 2 ]; do
        case $1 in -m) MEMORY=$2 ;; -p) PORT=$2 ;; --net) POD=$2 ;; *) break ;; esac; shift 2; done
      [[ $# -gt 1 && $1 != -* ]] || fail "run takes layers and a program. $HELP"
      for LAYER in \${1//:/ }; do [ -d "$LAYER" ] || fail "there is no layer $LAYER"; done
      [ ! "$POD" ] || runs "$POD" || fail "$POD does not run, so it has no network"
      NAME=$(od -An -N6 -tx1 /dev/urandom | tr -d ' '); trap 'rm "$NAME"' EXIT
      echo "$*" > "$NAME.by-hand"; mkdir -p "$NAME"/{upper,work,merged}; mkfifo "$NAME/ready"
      limit; [ "$POD" ] || address; [ ! "$PORT" ] || publish
      export NAME GROUP ADDRESS LAYERS=$1 NET=\${POD:+/proc/$PID/ns/net}; shift
      setsid ./by-hand start "$@" < /dev/null &> /dev/null & echo $! > "$NAME/starter"; disown
      ERROR=$(timeout 300 cat "$NAME/ready"); [ -s "$NAME/pid" ] || ERROR=$(cat "$NAME/log")
      [ ! "$ERROR" ] || fail "$ERROR"; trap - EXIT; echo "$NAME"
    }
    END`;
  say`Limits, as in chapter 6. (The README was recorded where not all cgroups are of version 2, so there it says
    "No limits".) A bridge, as in chapter 7, in a namespace that no process is in, so your own network stays as it is:
    containers reach each other, and nothing else. The published port is a process that listens in your network, and
    then joins that namespace. Docker has the same, 'docker-proxy', besides its rules.`;
  await $`cat >> by-hand <<'END'
    limit() { # chapter 6
      GROUP=$TOP/by-hand.$NAME; [ -e $TOP/cgroup.procs ] && mkdir "$GROUP" 2> /dev/null || {
        GROUP=''; echo '(No limits: they need real root, and cgroups of version 2 alone.)' >&2; return; }
      for IT in cpu memory pids; do grep -qw $IT $TOP/cgroup.subtree_control || {
        echo "-$IT" >> controllers; echo "+$IT" > $TOP/cgroup.subtree_control; } || :; done
      for IT in "memory.max $MEMORY" "memory.swap.max $MEMORY" 'pids.max 100' 'cpu.max 50000 100000'; do
        echo "\${IT#* }" > "$GROUP/\${IT%% *}" || echo "(No limit: $IT)" >&2; done
    }
    address() { # chapter 7: a bridge, in a network namespace of its own
      { flock 9; [ -e bridge ] || { touch bridge; unshare --net=bridge true; nsenter --net=bridge sh -ec '
          ip link add br0 up type bridge; ip address add 10.0.9.1/24 dev br0'; }
        for N in {2..254}; do [ -L "10.0.9.$N" ] || break; done
        ADDRESS=10.0.9.$N; ln -s "$NAME" "$ADDRESS"; } 9> lock
    }
    publish() { # as docker-proxy does: it listens out here, and connects from where the bridge is
      perl -MIO::Socket -e '($port, $to) = @ARGV; $SIG{CHLD} = "IGNORE"; $door = IO::Socket::INET->new(
          Listen => 9, LocalAddr => "127.0.0.1", LocalPort => $port, ReuseAddr => 1) or die "by-hand: port $port: $!\n";
        fork && exit; setpgrp; print "$$\n"; close STDOUT; open STDERR, ">/dev/null"; open NET, "bridge";
        syscall qx(uname -m) =~ /x86_64/ ? 308 : 268, fileno NET, 0x40000000;
        while ($in = $door->accept) { next if fork; $out = IO::Socket::INET->new($to) or exit;
          ($in, $out) = ($out, $in) if fork; print $out $text while sysread $in, $text, 65536;
          shutdown $out, 1; exit }' "\${PORT%:*}" "$ADDRESS:\${PORT#*:}" > "$NAME/door"
    }
    END`;
  say`Namespaces, as in chapter 2. Inside, the first process writes down its number as your /proc has it, and
    plugs in the cable. (': <>' opens the fifo and closes it, so whoever reads there comes to its end.)`;
  await $`cat >> by-hand <<'END'
    start() { # chapters 2 and 3; and two pipes into one log
      until [ -s "$NAME/starter" ]; do [ -d "$NAME" ]; sleep .01; done # so 'rm' can end whatever there is
      { { \${NET:+nsenter --net=$NET} unshare \${ADDRESS:+--net} --mount --uts --ipc --pid \
          bash -c '"$@"; exit $?' - setpriv --pdeathsig KILL ./by-hand inside "$@" 2>&3 3>&- | cat 3>&-
        } 3>&1 >> "$NAME/log" | cat; } >> "$NAME/log" || S=$?
      [ ! -s "$NAME/door" ] || kill -- "-$(cat "$NAME/door")" || :
      echo "\${S-0}" > "$NAME/status"; : <> "$NAME/ready"
    }
    inside() { # process 1: its cable, as in chapter 7
      exec 3>&2 2> "$NAME/ready"; read -r PID _ < /proc/self/stat; echo "$PID" > "$NAME/pid"; umask 022
      [ ! "$ADDRESS" ] || { ip link add eth0 type veth peer name "v$NAME" netns ./bridge
        nsenter --net=bridge ip link set "v$NAME" master br0 up; ip address add "$ADDRESS/24" dev eth0
        ip link set lo up; ip link set eth0 up; ip route add default via 10.0.9.1
        (cd /proc/sys/net; echo 0 > ipv4/ip_unprivileged_port_start; echo 0 2147483647 > ipv4/ping_group_range
          for IT in ipv6/conf/{all,default,lo}/disable_ipv6; do echo 1 > $IT; done) 2> /dev/null || :; }
    END`;
  say`Layers, as in chapter 4, and mounts, as in chapters 5, 7 and 9: all of them before pivot_root, while 'mount' is
    in reach. /dev comes before the covered paths, for they are covered with its 'null'. /sys/fs/cgroup shows the group
    of whoever mounts it as its top, so a subshell that has joined mounts it. When all that work is done, and not before,
    the process itself joins its group, and makes that the top of a cgroup namespace.`;
  await $`cat >> by-hand <<'END'
      mount -t overlay overlay -o "lowerdir=$LAYERS,upperdir=$NAME/upper,workdir=$NAME/work" "$NAME/merged"
      cd "$NAME"; cat /etc/resolv.conf > resolv.conf || :; echo "$NAME" > hostname; hostname "$NAME"
      printf '%s\t%s\n' 127.0.0.1 localhost ::1 'localhost ip6-localhost ip6-loopback' fe00::0 ip6-localnet \
        ff00::0 ip6-mcastprefix ff02::1 ip6-allnodes ff02::2 ip6-allrouters \${ADDRESS:+"$ADDRESS" "$NAME"} > hosts
      cd merged; mkdir -p proc sys dev etc; touch .dockerenv; chmod 755 .dockerenv; SAFE=nosuid,nodev,noexec
      [ -e etc/mtab ] || ln -sf /proc/mounts etc/mtab; mount -t proc -o $SAFE proc proc
      mount -t tmpfs -o nosuid,strictatime,mode=755,size=64m tmpfs dev; mkdir dev/{pts,shm,mqueue}
      mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts 2> /dev/null ||
        mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=666,mode=620 devpts dev/pts # rootless: no group 5
      mount -t sysfs -o ro,$SAFE sysfs sys; [ ! "$GROUP" ] || (echo 0 > "$GROUP/cgroup.procs"
        exec unshare --cgroup mount -t cgroup2 -o ro,$SAFE cgroup sys/fs/cgroup)
      mount -t mqueue -o $SAFE mqueue dev/mqueue; mount -t tmpfs -o $SAFE,size=64m shm dev/shm
      for IT in 'null c 1 3' 'zero c 1 5' 'full c 1 7' 'random c 1 8' 'urandom c 1 9' 'tty c 5 0'; do
        mknod -m 666 dev/$IT 2> /dev/null || { touch "dev/\${IT% c*}"; mount --bind "/dev/\${IT% c*}" "dev/\${IT% c*}"; }; done
      [ ! -e proc/kcore ] || ln -s /proc/kcore dev/core; for IT in pts/ptmx:ptmx /proc/{self/fd:fd,self/fd/0:stdin,self/fd/1:stdout,self/fd/2:stderr}; do
        ln -s \${IT/:/ dev/}; done
      for IT in etc/{resolv.conf,hostname,hosts}; do [ ! -L $IT ] || unlink $IT; touch $IT; mount --bind ../\${IT#*/} $IT; done
      for IT in proc/{bus,fs,irq,sys,sysrq-trigger}; do
        [ ! -e $IT ] || { mount --bind $IT $IT; mount -o remount,bind,ro,$SAFE $IT; }; done
      for IT in proc/{asound,acpi,kcore,keys,latency_stats,timer_list,timer_stats,sched_debug,scsi} sys/firmware; do
        if [ -d $IT ]; then mount -t tmpfs -o ro tmpfs $IT; elif [ -e $IT ]; then mount --bind dev/null $IT; fi; done
      [ ! "$GROUP" ] || echo 0 > "$GROUP/cgroup.procs"; exec unshare --cgroup ../../by-hand last "$@"
    }
    END`;
  say`After pivot_root your machine's tools are gone. So the last steps are those of one program, which is
    loaded before: 'perl'. It writes down the filter; changes its / (or, for 'by-hand exec', joins the
    container); has the kernel load the filter; gives up capabilities; and becomes your program. First
    pivot_root, because the filter refuses it. Then the filter, because loading one takes a capability. It
    lists what Docker's refuses, by number (for x86-64, and for arm64), and refuses whatever call is newer.
    (The three instructions of a number: if it is at least FROM, and not above TO, answer "Operation not
    permitted". Besides: 434 is pidfd_open, and 436 close_range.) Then the capabilities, which are cut to
    the bounding set as the program is started. (With --perl none is started: that is what 'capset' is for.)
    Whoever joins does the same.`;
  await $`cat >> by-hand <<'END'
    last() {
      cd "$NAME/merged"; become . "$@"
    }
    become() { # chapters 5 and 9
      for IT in $(compgen -e); do export -n "\${IT?}"; done
      export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOSTNAME="$NAME" HOME=/root; exec perl -e '
        ($pivot, $umount, $prctl, $setns, $setsid, $capset, $arch, $clone, $personality, $refused) = qx(uname -m) =~ /x86_64/
          ? (155, 166, 157, 308, 112, 126, 0xC000003E, 56, 135, "103 134 136 139 153 155 156 163-185 212 227 236-239 246 248-250
            256 272 279 298 300 303 304 308 310-313 320 321 323 329-331 335-423")
          : (41, 39, 167, 268, 157, 91, 0xC00000B7, 220, 92, "18 39-42 58 60 89 104-106 112 116 142 161 162 170 217-219 224
            225 235-239 241 262 264 265 268 270-273 280 282 288-290 294-423");
        sub call { my $r = syscall shift, @_; $r < 0 and die "system call: $!\n"; $r }
        sub add { $filter .= pack "SCCL", @_ }
        add 32,0,0,4; add 21,1,0,$arch; add 6,0,0,0x50026; add 32,0,0,0;
        for (split " ", "$refused 428-433 438 440 442 443") {
          ($from, $to) = split "-"; add 53,0,2,$from; add 37,1,0,$to || $from; add 6,0,0,0x50001 }
        add 21,1,0,435; add 37,0,1,449; add 6,0,0,0x50026;
        add 21,0,5,$personality; add 32,0,0,20; add 21,0,6,0; add 32,0,0,16; add 21,5,0,~0; add 69,3,4,0xFFFDFFF7;
        add 21,0,3,$clone; add 32,0,0,16; add 69,0,1,0x7E020000; add 6,0,0,0x50001; add 6,0,0,0x7FFF0000;
        open S, "/proc/self/status"; join("", <S>) =~ /CapPrm:\s*(\w+)/; $may = 0xA80425FB & hex $1; close S;
        $here = shift; delete @ENV{qw(_ SHLVL)}; $) = "0 0"; open ERROR, ">&STDERR"; call 436, 3, 0xFFFFFFFF, 4;
        if ($here ne ".") { call $setns, call(434, $here + 0, 0), 0x6E020000 }
        else { call $pivot, $here, $here; call $umount, $here, 2; call $setsid; open STDERR, ">&3" }
        chdir "/"; call $prctl, 22, 2, pack "Sx6P", length($filter) / 8, $filter;
        0xA80425FB >> $_ & 1 or syscall $prctl, 24, $_ for 0..63;
        $SIG{$_} = "DEFAULT" for keys %SIG;
        if ($here ne "." and $child = fork) { waitpid $child, 0; exit($? & 127 ? 128 + ($? & 127) : $? >> 8) }
        call $capset, pack("LL", 0x20080522, 0), pack "L6", $may, $may, (0) x 4;
        if ($ARGV[0] eq "--perl") { close ERROR; eval $ARGV[1]; die $@ if $@; exit }
        exec @ARGV; print ERROR "$ARGV[0]: $!\n"; exit 127' "$@"
    }
    END`;
  say`The other verbs are short: 'exec' joins a container, 'stop' asks it to end, and 'rm' removes what is left of
    it. After the last one the bridge goes, too, and so do the controllers that were handed down.`;
  await $`cat >> by-hand <<'END'
    enter() {
      known "$1"; runs "$1" || fail "$1 does not run"; NAME=$1; shift
      [ ! -d $TOP/by-hand.$NAME ] || echo 0 > $TOP/by-hand.$NAME/cgroup.procs; become "$PID" "$@"
    }
    logs() { known "$@"; cat "$1/log"; }
    all() { find . -maxdepth 1 -name '*.by-hand' -printf '%f\n' | cut -d . -f 1; }
    ps() { for NAME in $(all); do echo "$NAME" "$(find . -lname "$NAME" -printf %f)" \
      "$(cat "$NAME/status" 2> /dev/null || echo runs)" "$(head -n 1 "$NAME.by-hand")"; done | sort -k 2; }
    ended() { timeout 9 sh -c "until [ -e $1/status ]; do sleep .1; done"; }
    stop() {
      T=10; [ "$1" != -t ] || { T=$2; shift 2; }; known "$@"; ! runs "$1" || { kill "$PID" || :
        timeout "$T" tail --pid="$PID" -s .1 -f /dev/null || kill -9 "$PID" || :; ended "$1"; }
    }
    rm() {
      NAMES=$*; [ "$NAMES" != --all ] || NAMES=$(all); for NAME in $NAMES; do
        known "$NAME"; ! runs "$NAME" || { kill -9 "$PID"; ended "$NAME"; } || :; [ ! -p "$NAME/ready" ] || : <> "$NAME/ready"
        for IT in starter door; do
          PID=$(cat "$NAME/$IT" 2> /dev/null) && [ "/proc/$PID/cwd" -ef . ] && kill -9 -- "-$PID" || :; done
        timeout 9 sh -c "until [ ! -d $TOP/by-hand.$NAME ] || rmdir $TOP/by-hand.$NAME; do sleep .1; done" 2> /dev/null || fail "$NAME is in use"
        find . -maxdepth 1 -lname "$NAME" -delete; command rm -rf --one-file-system "./$NAME" 2> /dev/null || { sleep 1 # who was killed may still write
          command rm -rf --one-file-system "./$NAME"; }; command rm "./$NAME.by-hand"; done
      [ "$(all)" ] || { [ ! -e bridge ] || { umount bridge || :; command rm bridge; }
        [ ! -e controllers ] || { while read -r IT; do echo "$IT" > $TOP/cgroup.subtree_control || :; done < controllers
          command rm controllers; }; }
    }
    case \${1-} in exec) shift; enter "$@" ;; run | ps | logs | stop | rm | start | inside | last) "$@" ;; *) echo "$HELP" ;; esac
    END`;
  await $`chmod +x by-hand; ./by-hand`;

  await part`Run`;
  say`A server in three lines of Perl, and a program that sleeps. First find a port that is free.`;
  await $`PORT=$(perl -MIO::Socket -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'); echo $PORT`;
  await $`cat > serve <<'END'
    $| = 1; $SIG{TERM} = sub { print "was asked to end\n"; exit };
    socket S, 2, 1, 6; bind S, pack "SnNx8", 2, 80, 0 or die "$!\n"; listen S, 9; print "is ready\n";
    while (accept C, S) { print C "hello from $ENV{HOSTNAME}\n"; close C }
    END`;
  await box`WEB=$(sudo ./by-hand run -p $PORT:80 app:base --perl "$(cat serve)"); echo $WEB`;
  await box`BOX=$(sudo ./by-hand run -m 64m app:base sleep 1d); echo $BOX`;
  await looks`sudo ./by-hand ps`;
  const visit = `timeout 9 bash -c "until cat < /dev/tcp/127.0.0.1/$PORT; do sleep .1; done" 2> /dev/null`;
  const from = String.raw`--perl 'socket S, 2, 1, 6; connect S, pack "SnNx8", 2, 80, 0x0A000902 or die "$!\n"; print <S>'`;
  const outside = await $`${visit}`;
  const neighbour = await looks`sudo ./by-hand exec $BOX ${from}`;
  same("it answers at your port, and to its neighbour", { outside, neighbour });
  say`A **pod** is containers in one network namespace, but not in one pid namespace: one 'lo', one address, one set of ports. (Kubernetes has
    them share ipc and uts, too.) There the server is at 127.0.0.1, as well.`;
  await box`POD=$(sudo ./by-hand run --net $WEB app:base sleep 1d); for NAME in $WEB $POD $BOX; do sudo ls -l /proc/$(cat $NAME/pid)/ns/net; done`;
  const pod = await looks`sudo ./by-hand exec $POD ${from.replace("0x0A000902", "0x7F000001")}`;
  const alone = await $({
    changes: "nothing, it only looks",
    nothrow: true,
  })`sudo ./by-hand exec $BOX ${from.replace("0x0A000902", "0x7F000001")}`;
  differ("in another container it is not", { pod, alone: alone.stderr });
  say`And what does not work says so, and leaves nothing.`;
  const count = () => looks`sudo ./by-hand ps | wc -l`;
  const before = await count();
  await $({ changes: "nothing", nothrow: true })`sudo ./by-hand run app:base no-such-program`;
  await $({ changes: "nothing", nothrow: true })`sudo ./by-hand run no-such-layer:base sleep 1d`;
  await $({ changes: "nothing", nothrow: true })`sudo ./by-hand run -p $PORT:80 app:base sleep 1d`;
  same("as many as before", { before, after: await count() });

  await part`Exec`;
  say`'nsenter' joins namespaces, and that is all. 'exec' joins the limits, and ties the hands.`;
  await looks`PID=$(sudo cat $BOX/pid); echo $PID`;
  const first = await looks`${rights.replace("self", "$PID")}`;
  const mine = `sudo nsenter --target "$PID" --mount --uts --ipc --net --pid ${shell}`;
  const nsenter = await enter({ changes: "a root shell in the container, with its hands free" })`
    ${mine}
    ${rights}
  `;
  const exec = await looks`sudo ./by-hand exec $BOX ${rights}`;
  const lines = ({ stdout }: { stdout: string }) => stdout.trim().split("\n");
  differ("with nsenter root may do all", {
    nsenter: nsenter(rights).split("\n").filter(Boolean),
    exec: lines(exec),
  });
  same("with exec as much as process 1", { exec: lines(exec), "process 1": lines(first) });
  say`"Seccomp: 2" says that there is a filter, not what it refuses. So try: these calls, with arguments that
    nothing can be done with (-1), as root out here and in the container. A call is refused if the answer is "Operation
    not permitted" or "Function not implemented". (Out here the latter is what this kernel was built without.)`;
  await $`cat > calls <<'END'
    ${calls.replaceAll("\n", "\n    ")}
    END`;
  const free = await looks`sudo perl calls`;
  const tied = await looks`sudo ./by-hand exec $BOX --perl "$(cat calls)"`;
  const theirs = refusedIn(recordedCalls().text);
  const ours = refusedIn(tied.stdout);
  same("refused is what Docker refuses", { Docker: theirs, ours });
  const often = (text: string) => (text ? String(refusedIn(text).length) : undefined);
  table(
    ["system calls", "out here", "in yours", "in Docker's"],
    ["refused", often(free.stdout), often(tied.stdout), String(theirs.length)],
  );
  say`Now the table. Where all cgroups are of version 2, all rows are equal; elsewhere there are no limits.
    With --rootless three rows differ: that one, the user ids, and /dev, because only the machine's root may
    make devices, so the machine's own are mounted. ("Its own session": that was setsid, so no Ctrl-C from
    your terminal reaches it.)`;
  await beside(mine);
  say`**What still differs:** a test of this chapter runs one program in Docker's container and in this one.
    It reads two thousand facts, such as modes, mounts in their order, and the kernel's settings, and tries
    every system call. Besides names and addresses it finds two: Docker's / is a slave of your machine's
    (chapter 5), and Docker's overlay, which had been mounted once before, lacks the option 'uuid=on'.
    (AppArmor and SELinux, which that machine does not have, would add theirs.)`;

  await part`Logs, stop, rm`;
  say`'docker stop' sends TERM, and KILL after ten seconds; here after two. Process 1 gets no TERM that it does not
    handle: so the server ends by itself, and 'sleep' is killed (137).`;
  await box`sudo ./by-hand stop $WEB; sudo ./by-hand stop -t 2 $BOX`;
  const log = await looks`sudo ./by-hand logs $WEB`;
  const ends = await looks`sudo ./by-hand ps`;
  const ended = (name: RegExp) => name.exec(ends.stdout)?.[1];
  differ("one was killed", { server: ended(/ (\d+) .*--perl/), sleep: ended(/ (137) .*sleep/) });
  same("the other has said so", {
    handler: "was asked to end",
    log: log.stdout.trim().split("\n").at(-1),
  });
  await box`ls -d 10.* bridge; sudo ./by-hand rm --all; ls`;
  say`Copy 'by-hand' before it goes with this directory. **What Docker does besides:** it keeps layers for many images, and
    counts who uses them (docs.docker.com, "Storage drivers"); it starts a container again when it ends (restart policies);
    it has AppArmor or SELinux look at each file that is opened (the kernel's admin-guide/LSM); it lets a BPF program decide
    on devices (the kernel's admin-guide/cgroup-v2, "Device controller"); it runs 32-bit programs, and routes to the Internet,
    as in chapter 7.`;
}
