#!/usr/bin/env -S npx tsx
/**
 * 04 · overlay: layers
 *
 * A hundred containers of one image do not copy it a hundred times. An overlay
 * shows several directories as one: the lower ones are only read, and all that
 * is written goes to the upper one.
 *
 * @run npx tsx chapters/04-overlay.ts
 * @see mount(8), umount(8), stat(1), unshare(1)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { layers, runShell, type Image } from "../lib/options/engine.ts";
import { hostPrograms } from "../lib/rootfs.ts";

await chapter(import.meta.url, tell);

async function tell(verbs: Verbs) {
  const { say, part, $, enter, see, table, rootfs, shell, image } = verbs;
  await part`Two directories as one`;
  say`Four directories: lower and upper hold files, work is the kernel's scratch space, and merged is
    where the two appear as one. content.txt is in both. mount takes a type (-t), a name that nobody
    looks at (overlay), options (-o), and where to mount.`;
  await $`mkdir -p fs/lower fs/upper fs/work fs/merged`;
  await $`touch fs/lower/lower-file.txt fs/upper/upper-file.txt`;
  await $`echo "hello lower" > fs/lower/content.txt`;
  await $`echo "hello upper" > fs/upper/content.txt`;
  const before = await $`cat fs/lower/* | sha256sum`;
  await $({
    changes: "an overlay is mounted on fs/merged",
    undo: "by umount, further down",
  })`sudo mount -t overlay overlay -o lowerdir=fs/lower,upperdir=fs/upper,workdir=fs/work fs/merged`;
  await $`ls -lisa fs/merged/`;
  const content = await $`cat fs/merged/content.txt`;
  const upper = await $`cat fs/upper/content.txt`;
  see("where both have a file, upper wins", "same", () => ({
    "fs/upper/content.txt": upper.stdout,
    "fs/merged/content.txt": content.stdout,
  }));

  await part`Create, change, delete`;
  say`Create a file in merged: it lands in upper.`;
  await $`echo "new" > fs/merged/new.txt; ls -l fs/lower fs/upper`;
  say`Change a file of lower: first it is copied up, whole, then the copy is changed.`;
  await $`echo "changed" >> fs/merged/lower-file.txt; ls -l fs/lower fs/upper`;
  say`Delete a file. lower must keep it, so upper gets a mark that hides it: a whiteout, which is a
    character device with the number 0,0.`;
  await $`rm fs/merged/content.txt; ls -l fs/merged fs/upper`;
  const whiteout = await $`stat --format "%A %t,%T" fs/upper/content.txt`;
  see("the deleted file is a whiteout in upper", "same", () => ({
    "a whiteout": "c--------- 0,0",
    "fs/upper/content.txt": whiteout.stdout,
  }));
  const after = await $`cat fs/lower/* | sha256sum`;
  see("lower is what it was, byte for byte", "same", () => ({
    before: before.stdout,
    after: after.stdout,
  }));
  await $({
    changes: "fs/merged is an empty directory again; the layers stay",
  })`sudo umount fs/merged`;

  await part`An image is the lower layers`;
  say`Images have more than one layer. base is a root file system, app has what someone put on it: a
    new file, and a greeting of its own in place of base's.`;
  await rootfs("base", hostPrograms("bash", "cat", "ls"));
  await $`mkdir app upper work merged swapped`;
  await $`echo "greetings from base" > base/greeting`;
  await $`echo "greetings from app" > app/greeting; echo 'cat /greeting' > app/run.sh`;
  say`lowerdir takes several, separated by colons, the topmost first. The second mount has them the
    other way round, and no upper: it is read-only.`;
  await $({
    changes: "an overlay is mounted on merged",
    undo: "by umount, further down",
  })`sudo mount -t overlay overlay -o lowerdir=app:base,upperdir=upper,workdir=work merged`;
  await $({
    changes: "an overlay is mounted on swapped",
    undo: "by umount, further down",
  })`sudo mount -t overlay overlay -o lowerdir=base:app swapped`;
  const first = await $`cat merged/greeting`;
  const second = await $`cat swapped/greeting`;
  see("the order decides which greeting you get", "differ", () => ({
    "app:base": first.stdout,
    "base:app": second.stdout,
  }));
  say`A file in merged has the inode number of the file that it is. So the kernel itself tells which
    layer each one comes from:`;
  const depth = shell === "bash" ? "" : "-maxdepth 1 ";
  const files = await $`find upper app base merged ${depth}-type f -printf "%i %P %H\n"`;
  table(["file in merged", "comes from"], () => origins(files.stdout));

  await part`A container adds one upper layer`;
  say`Run the container of chapter 2 with merged as its /, and write in it.`;
  const [greeting] = await enter({
    changes: "a root shell in five new namespaces, with merged as its /",
    undo: "by the kernel, when the shell ends; what it writes goes to upper",
  })`sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc --root merged ${shell}`(
    `${shell} /run.sh`,
    `echo "I was here" > /written.txt`,
    `ls /`,
  );
  see("the container ran the script of one layer with the shell of the other", "same", () => ({
    "app/greeting": first.stdout,
    "printed in the container": greeting,
  }));
  const written = await $`find upper app base -name written.txt`;
  see("what it wrote is in upper alone", "same", () => ({
    expected: ["upper/written.txt"],
    found: written.stdout.split("\n").filter(Boolean),
  }));
  say`Throw upper away and you have a fresh container (docker rm). Keep it as one more lower, and you
    have made an image (docker commit). A second container is a second upper over the same lowers.`;
  if (image)
    await layersOf(
      verbs,
      image,
      `sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc --root merged ${shell}`,
    );
  await $({
    changes: "merged and swapped are empty directories again",
  })`sudo umount merged swapped`;
  say`That is a container: a root of layers, namespaces, and a process. What is still missing is what
    keeps it small and harmless: cgroups, capabilities, seccomp.`;
}

/** Puts a real image's layers, and the overlay of a container of it, beside the reader's. */
async function layersOf({ say, part, $, enter, table }: Verbs, image: Image, mine: string) {
  const { title, command } = image.engine;
  await part`The layers of a real image`;
  say`${title} keeps images in layers, too: their checksums (RootFS), and where their files are (GraphDriver).`;
  await $({
    changes: "nothing, it only asks",
  })`${command} image inspect --format '{{json .RootFS}},{{json .GraphDriver}}' ${image.name} | tr , '\n'`;
  say`What is mounted as / in your container, and in one of that image? mountinfo has it, in its first line.`;
  const [yours] = await enter({
    changes: "nothing, it only looks",
  })`${mine}`(`cat /proc/self/mountinfo`);
  const { line, options } = runShell(image);
  const [theirs] = await enter(options)`${line}`(`cat /proc/self/mountinfo`);
  table(["", "yours", `${title}'s`], () => {
    const [your, their] = [layers(yours ?? ""), layers(theirs ?? "")];
    return Object.keys(your).map((row) => [row, your[row]!, their[row]!]);
  });
}

/** The rows of the table: each file in merged, and the layer that has its inode. */
function origins(files: string): string[][] {
  const rows = files
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
  const layers = rows.filter(([, , top]) => top !== "merged");
  return rows
    .filter(([, , top]) => top === "merged")
    .map(([inode, path = ""]) => [path, layers.find((row) => row[0] === inode)?.[2] ?? "?"])
    .sort(([, a = ""], [, b = ""]) => a.localeCompare(b));
}
