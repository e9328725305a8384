#!/usr/bin/env -S npx tsx
/**
 * 05 · pivot-root: a / without a way out
 *
 * **You know this:** '-v "$PWD/data:/data"' shows a container one directory of yours, and '..' does
 * not lead from there to the rest. With '--read-only' a container cannot even change its own files.
 *
 * After chroot the old / is still mounted, and so chapter 1 could walk out. pivot_root(2) changes
 * the mounts themselves: another one becomes the / of the whole mount namespace, and the old one can
 * be unmounted. Then nothing has to be guarded, because nothing is left.
 *
 *       mount --bind          pivot_root            umount
 *     ─────────────────    ─────────────────    ──────────────
 *     / ◄── the old /      / ◄── the old /
 *     └── tmp              / ◄── rootfs         / ◄── rootfs
 *         └── rootfs           └── proc             └── proc
 *
 * @run npx tsx chapters/05-pivot-root.ts
 * @tries overlay
 * @see pivot_root(2), pivot_root(8), mount(8), mount_namespaces(7), nsenter(1)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { identity } from "../lib/kernel.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, rootfs, shell, beside }: Verbs) {
  await part`A directory is not enough`;
  const programs = ["grep", "ls", "mkdir", "mount", "nsenter", "sleep", "stat", "tr", "umount"];
  await rootfs("rootfs", "bash", "cat", ...programs);
  say`'pivot_root' takes the new / and a place for the old one, which may be the same. Since it is for a whole mount namespace, --mount makes one first.`;
  await $({ changes: "nothing", nothrow: true })`sudo unshare --mount pivot_root rootfs rootfs`;
  say`It exchanges mounts, and 'rootfs' is not a mount, only a directory in one.`;

  await part`Another / for the mount namespace`;
  say`'mount --bind' mounts a directory, here 'rootfs' on itself, so it is a mount. 'pivot_root . .' makes that the /, and puts the old / in the
    same place, on top. A path that begins with / begins below, in the new one; '..' and 'umount .' meet what lies on top, the old one. -l, for
    lazy: it is still in use, for this shell's own file is on it. (umount reads /proc. Because of --pid it shows no process from outside, whose /proc/PID/root would lead to the old /. After 'hash -r' the shell looks for its programs anew; --norc: no start-up files.)`;
  const walk = `nsenter --pid=/proc/self/ns/pid --root=new ${shell} -c 'until [ . -ef .. ]; do cd -P ..; done; ls -di .'`;
  const pivoted = await enter({ changes: "nothing here, but for a directory 'rootfs/new'" })`
    sudo unshare --mount --pid --fork bash --norc
    mount --bind rootfs rootfs; cd rootfs
    pivot_root . .; hash -r
    ls -di .. /
    mount -t proc proc /proc; umount -l .
    cat /proc/self/mountinfo
    mkdir new; mount --bind / new
    ${walk}
  `;
  const inode = (line: string) => /^ *(\d+) /m.exec(line)?.[1];
  const host = identity("/").replace(/.*:/, "");
  const [old, root] = pivoted("ls -di .. /").split("\n").map(inode);
  same("at first '..' was the old /", { "/ on the host": host, "'..' then": old });
  say`Then there are two mounts, / and /proc, and no other. The last line is the walk of chapter 1: 'nsenter' makes 'new' the /, stays outside of it,
    and goes up. ('new' shows / once more, so it has a shell.) For comparison, the same after chroot:`;
  const control = await enter({ changes: "nothing, but this shell gets out of 'rootfs'" })`
    sudo unshare --mount --pid --fork chroot rootfs ${shell}
    mount -t proc proc /proc; mount --bind / new
    ${walk}
  `;
  const [out, stays] = [control(walk), pivoted(walk)].map(inode);
  same("after chroot it gets out", { "/ on the host": host, "where it ends": out });
  same("after pivot_root it does not", { "the new /": root, "where it ends": stays });

  await part`A volume is a bind mount`;
  say`Now a container in the background, as in chapter 3. The layers of chapter 4 are a mount
    already. And a directory of the host's is mounted in it, too, before the old / goes: '-v'.`;
  await $`mkdir -p rootfs/data rootfs/tmp upper work merged volume/usb; echo hello > volume/file`;
  await $`echo 'mount -t overlay overlay -o lowerdir=rootfs,upperdir=upper,workdir=work merged' > start.sh`;
  await $`echo 'mount --bind volume merged/data; cd merged; pivot_root . .; hash -r; mount -t proc proc /proc; umount -l .; exec sleep 1d' >> start.sh`;
  const sleeps = { changes: "processes that sleep, no more", undo: "by 'kill', at the end" };
  await $(
    sleeps,
  )`STARTED=$(sudo bash -c 'setsid unshare --mount --uts --ipc --net --pid --fork --kill-child bash -e start.sh &> container.log & echo $!')`;
  const looks = { changes: "nothing, it only looks" };
  await $(
    looks,
  )`PID=$(sudo timeout 15 bash -c "until pgrep -P $STARTED sleep; do sleep .1; done") || ! cat container.log`;
  say`In chapter 3 it took --root to get the container's /. Now it comes with --mount. And '..' of the volume is
    that /, too. Inside, take away the right to write: to the volume, then to all but a new /tmp (and /proc).`;
  const mine = `sudo nsenter --target "$PID" --mount --uts --ipc --net --pid ${shell}`;
  const joined = await enter({ changes: "a root shell in the container, until it ends" })`
    ${mine}
    stat -c %d:%i / /data/.. /data/file
    mount -o remount,bind,ro /data; echo more >> /data/file
    mount -o remount,bind,ro /; mount -t tmpfs tmpfs /tmp
    echo "in /" > /new.txt; echo "in /tmp" > /tmp/new.txt
    cat /data/file /new.txt /tmp/new.txt 2> /tmp/errors
    mount -o remount,bind,rw /
  `;
  const outside = await $(looks)`sudo stat -L -c %d:%i /proc/$PID/root{,/data/..} volume/file`;
  same("whoever joins gets the / of 'sleep', and the file is the one outside", {
    "from outside": outside.stdout.trim().split("\n"),
    "in the shell": joined("stat -c %d:%i / /data/.. /data/file").trim().split("\n"),
  });
  const written = joined("cat /data/file /new.txt /tmp/new.txt 2> /tmp/errors").trim().split("\n");
  same("only /tmp could be written to", { "should be": ["hello", "in /tmp"], "it is": written });
  say`That was '--read-only --tmpfs /tmp'. Root in Docker may not mount, and so cannot undo it.`;

  await part`Mounts that travel`;
  say`A new mount namespace begins with a copy of each mount. What is mounted later below a shared original does not appear in a private copy; in a slave
    and in a shared one it does. What is mounted in a copy appears below the original only if the copy is shared. Make 'volume' a shared mount
    (--make-private parts it from others first), and try all three: a 'sleep' in each, and a link to its /proc, named 'private', 'slave' or 'shared'.`;
  await $({
    changes: "'volume' becomes a mount, and shared",
    undo: "by 'umount', further down",
  })`sudo mount --bind volume volume; sudo mount --make-private volume; sudo mount --make-shared volume`;
  await $`NAME=$(basename "$WORK"); SLEEP='setsid sleep 1d &> container.log & ln -s /proc/$! $0; echo $!'`;
  await $(
    sleeps,
  )`PIDS=$(for TYPE in private slave shared; do sudo unshare --mount --propagation $TYPE bash -c "$SLEEP" $TYPE; done)`;
  await $(looks)`sudo grep -o "/volume rw.* -" {private,slave,shared}/mountinfo`;
  const usb = { changes: "a file system is mounted on 'volume/usb'", undo: "by 'umount'" };
  say`Plug in a USB stick, so to speak. Then, the other way round, mount one in each of the three.`;
  await $(usb)`sudo mount -t tmpfs stick volume/usb`;
  const seen = await $(looks)`sudo grep -c "$NAME/volume/usb" {private,slave,shared}/mountinfo`;
  await $(
    usb,
  )`sudo umount volume/usb; for TYPE in private slave shared; do sudo nsenter --mount=$TYPE/ns/mnt mount -t tmpfs from-$TYPE "$WORK/volume/usb"; done`;
  const came = await $`grep "$NAME/volume/usb" /proc/self/mountinfo | grep -o "from-[a-z]*"`;
  same("the stick arrived in the slave and in the shared one", {
    "should be": ["private:0", "slave:1", "shared:1"],
    "arrived in": seen.stdout.replaceAll("/mountinfo", "").trim().split("\n"),
  });
  same("only the shared one's came back", { "should be": "from-shared", "on the host": came });
  say`With '-v' you choose: '/media:/media:rslave' (r: with all mounts below it). For a volume, Docker's default is private. And a runtime parts all mounts
    from the host's first, as 'unshare' does, or what a container mounts would appear outside, too; and 'pivot_root' refuses shared ones.`;
  await beside(mine);
  await $({ changes: "all of them end" })`sudo kill -9 $PID $PIDS; sudo umount --recursive volume`;
}
