#!/usr/bin/env -S npx tsx
/**
 * 04 · overlay: layers
 *
 * **You know this:** 'docker pull' fetches layers, ten containers of one image start at once, and
 * what you write in a container is gone when you remove it.
 *
 * An overlay shows several directories as one. The lower ones are only ever read; everything that
 * is written goes to the upper one. So any number of containers can share an image: each adds an
 * upper directory of its own, empty at first.
 *
 *     merged  │ greeting  run.sh   usr  written.txt │ the /
 *     ────────┼────▲────────▲───────▲────────▲──────┤
 *     upper   │    │        │       │   written.txt │ written
 *     app     │ greeting  run.sh    │               │ image
 *     base    │ greeting           usr              │ image
 *
 * @run npx tsx chapters/04-overlay.ts
 * @tries overlay
 * @see mount(8), umount(8), stat(1), find(1), unshare(1)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, table, rootfs, shell, beside }: Verbs) {
  await part`Two directories as one`;
  say`'lower' and 'upper' hold files, 'work' is scratch space for the kernel, and 'merged' is where
    the two appear as one. 'content.txt' is in both. The checksum is for later.`;
  await $`mkdir -p fs/lower fs/upper fs/work fs/merged`;
  await $`touch fs/lower/lower-file.txt fs/upper/upper-file.txt`;
  await $`echo "hello lower" > fs/lower/content.txt`;
  await $`echo "hello upper" > fs/upper/content.txt`;
  const before = await $`cat fs/lower/* | sha256sum`;
  say`-t is the type of the file system, the second 'overlay' stands where a disk would be named,
    and -o says which directory is what.`;
  await $(
    mounts("fs/merged"),
  )`sudo mount -t overlay overlay -o lowerdir=fs/lower,upperdir=fs/upper,workdir=fs/work fs/merged`;
  await $`ls -lisa fs/merged/`;
  const content = await $`cat fs/merged/content.txt`;
  const upper = await $`cat fs/upper/content.txt`;
  same("where both have a file, 'upper' wins", {
    "fs/upper/content.txt": upper,
    "fs/merged/content.txt": content,
  });

  await part`Create, change, delete`;
  say`Create a file in 'merged', and it lands in 'upper'.`;
  await $`echo "new" > fs/merged/new.txt; ls -l fs/lower fs/upper`;
  say`Change a file of 'lower'. It is **copied up**, whole, and the copy is changed. (So in a
    container the first write to a large file can be slow.)`;
  await $`echo "changed" >> fs/merged/lower-file.txt; ls -l fs/lower fs/upper`;
  say`Delete a file. 'lower' must not change, so 'upper' gets a mark that hides it, a **whiteout**:
    a character device with the number 0,0.`;
  await $`rm fs/merged/content.txt; ls -l fs/merged fs/upper`;
  const deleted = await $`stat --format "%A %t,%T" fs/upper/content.txt`;
  same("the deleted file is a whiteout in 'upper'", {
    "a whiteout": "c--------- 0,0",
    "fs/upper/content.txt": deleted,
  });
  const after = await $`cat fs/lower/* | sha256sum`;
  same("the files in 'lower' have not changed by a single byte", { before, after });
  await $({ changes: "'fs/merged' is empty again; the layers stay" })`sudo umount fs/merged`;

  await part`An image is the lower layers`;
  say`Images have several layers. 'base' is a root file system; 'app' has what someone put on top of
    it: a new file, and a greeting in place of the one in 'base'.`;
  await rootfs("base", "bash", "cat", "grep", "ls", "nsenter", "stat", "tr");
  await $`mkdir app upper work merged swapped`;
  await $`echo "greetings from base" > base/greeting`;
  await $`echo "greetings from app" > app/greeting; echo 'cat /greeting' > app/run.sh`;
  say`'lowerdir' takes several directories, separated by colons, the topmost first. The second mount
    has them the other way round and no upper directory, which makes it read-only.`;
  await $(
    mounts("merged"),
  )`sudo mount -t overlay overlay -o lowerdir=app:base,upperdir=upper,workdir=work merged`;
  await $(mounts("swapped"))`sudo mount -t overlay overlay -o lowerdir=base:app swapped`;
  const first = await $`cat merged/greeting`;
  const second = await $`cat swapped/greeting`;
  differ("the order decides which greeting you get", { "app:base": first, "base:app": second });
  say`Which layer is a file in 'merged' from? As long as all layers are on one file system, it has the
    inode number of its original. (A file that was copied up keeps that of the lower one.)`;
  const depth = shell === "bash" ? "" : "-maxdepth 1 ";
  const files = await $`find upper app base merged ${depth}-type f -printf "%i %P %H\n"`;
  table(["file in merged", "comes from"], ...origins(files.stdout));

  await part`A container adds one upper layer`;
  say`Run the container of chapter 2 with 'merged' as its /, and write to it.`;
  const container = `sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc --root merged ${shell}`;
  const inside = await enter({
    changes: "a root shell in five new namespaces, with 'merged' as its /",
    undo: "by the kernel, when the shell ends; what it writes goes to 'upper'",
  })`
    ${container}
    ${shell} /run.sh
    echo "I was here" > /written.txt
    ls /
  `;
  same("the container ran the script of one layer with the shell of the other", {
    "app/greeting": first,
    "printed in the container": inside(`${shell} /run.sh`),
  });
  const written = await $`find upper app base -name written.txt`;
  same("what it wrote is in 'upper' alone", { expected: "upper/written.txt", found: written });
  say`Throw 'upper' away, as 'docker rm' does, and the next container starts afresh. Keep it as one
    more lower layer, and you have made an image: 'docker commit'. A second container is a second
    upper directory over the same lower ones.`;
  await beside(container);
  await $({ changes: "'merged' and 'swapped' are empty again" })`sudo umount merged swapped`;
  say`That is a container: a root made of layers, namespaces, and a process. What is missing is what
    keeps it small and harmless: a / without a way out, limits (cgroups), fewer rights
    (capabilities), fewer system calls (seccomp).`;
  say`(In 'work' the kernel has left a directory that belongs to root and has mode 000. So the
    clean-up needs root.)`;
}

function mounts(directory: string) {
  return { changes: `an overlay is mounted on '${directory}'`, undo: "by 'umount', further down" };
}

/** The rows of the table: each file in merged, and the layer that has its inode. */
function origins(files: string): string[][] {
  const rows = files.split("\n").map((line) => line.split(" "));
  const layer = (inode?: string) => rows.find((row) => row[0] === inode)?.[2] ?? "?";
  return rows
    .filter(([, , top]) => top === "merged")
    .map(([inode, path = ""]) => [path, layer(inode)])
    .sort(([a = ""], [b = ""]) => a.localeCompare(b));
}
