/**
 * 04 · overlay: further challenges
 */
import { lstatSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Challenge } from "../../lib/options/challenge.ts";
import type { Mounted, World } from "../../lib/options/world.ts";

/** The directories of an overlay, as absolute paths; relative ones are the chapter's. */
function layersOf({ options }: Mounted, { directory }: World) {
  const option = (name: string) => new RegExp(`(?:^|,)${name}=([^,]*)`).exec(options)?.[1] ?? "";
  const path = (name: string) => resolve(directory, name);
  return {
    lowers: option("lowerdir").split(":").map(path),
    upper: option("upperdir") && path(option("upperdir")),
  };
}

/** What a file holds; undefined if it is not there, or no file. */
function content(file: string): string | undefined {
  try {
    return lstatSync(file).isFile() ? readFileSync(file, "utf8") : undefined;
  } catch {
    return undefined;
  }
}

const restore: Challenge<Mounted> = {
  title: "Bring back a file that a layer deleted",
  goal: `'merged' is made of three layers and an upper directory. Someone wrote 'recipe.txt', yet it is
    not in 'merged': one of the layers deleted it. Find out which one, by looking, and bring the file
    back in 'merged'. The layers are shared with others, so leave them as they are.`,
  async prepare({ say, $ }) {
    await $`mkdir one two three upper work merged`;
    await $`echo "flour, water, salt" > one/recipe.txt; echo "250 degrees" > one/oven.txt`;
    await $`echo "45 minutes" > three/time.txt`;
    say`Two of the layers were made by containers; this is one of them.`;
    await $({
      changes: "an overlay is mounted on 'merged'",
      undo: "by 'umount', in the same line",
    })`sudo mount -t overlay overlay -o lowerdir=one,upperdir=two,workdir=work merged; rm merged/recipe.txt; sudo umount merged`;
    await $({
      changes: "an overlay is mounted on 'merged'",
      undo: "by 'umount', when the challenge ends",
    })`sudo mount -t overlay overlay -o lowerdir=three:two:one,upperdir=upper,workdir=work merged; ls merged`;
  },
  remember: "find one two three -printf '%p %y %s %C@\\n' | sort",
  subjects: ({ host, directory }) =>
    host.mounts.filter(
      ({ type, point }) => type === "overlay" && point === resolve(directory, "merged"),
    ),
  nothing: "There is no overlay on 'merged'.",
  criteria: [
    {
      text: "'merged' is an overlay, with 'three', 'two' and 'one' below",
      met(mount, world) {
        const { lowers } = layersOf(mount, world);
        const given = ["three", "two", "one"].map((name) => resolve(world.directory, name));
        return lowers.join() === given.join() || `Below are ${lowers.join(", ")}.`;
      },
    },
    {
      text: "'merged/recipe.txt' is there, with what was in it",
      met(_, { directory }) {
        const [now, then] = ["merged", "one"].map((name) =>
          content(resolve(directory, name, "recipe.txt")),
        );
        return (
          (now !== undefined && now === then) ||
          (now === undefined
            ? "There is no such file in 'merged'. (What is written to 'upper' itself may not be noticed.)"
            : `It holds ${JSON.stringify(now)}.`)
        );
      },
    },
    {
      text: "it comes from 'upper'",
      met(mount, world) {
        const { upper } = layersOf(mount, world);
        const file = upper && content(resolve(upper, "recipe.txt"));
        return file !== undefined || "There is no such file in the upper directory.";
      },
    },
    {
      text: "the three layers have not changed",
      met(_, { memory, read }) {
        const now = read(restore.remember!).split("\n");
        const then = memory.split("\n");
        const changed = [
          ...now.filter((line) => !then.includes(line)),
          ...then.filter((line) => !now.includes(line)),
        ][0];
        return !changed || `Another is ${changed.split(" ")[0]}.`;
      },
    },
  ],
  hints: [
    `How does a layer say that a file is deleted? 'ls -l one two three'.`,
    `'two' has a whiteout, which hides the 'recipe.txt' of 'one'. But it hides that in 'merged' only:
    'one/recipe.txt' itself can still be read.`,
    `What you write in 'merged' goes to 'upper', which is above all the layers.`,
  ],
  async solution({ say, $ }) {
    say`The whiteout is in 'two'. The file is still in 'one': copy it into 'merged', and it lands in
      'upper'.`;
    await $`ls -l one two three`;
    await $`cp one/recipe.txt merged/recipe.txt; ls -l upper`;
    await $({ changes: "'merged' is empty again" })`sudo umount merged`;
  },
  afterwards: `That is why deleting a file in a later line of a Dockerfile makes an image no smaller,
    and why a password that was ever in a layer can be read by anyone who has the image.`,
};

const listing = `find . -mindepth 1 -printf '%P %y %s\\n' | sort`;

const commit: Challenge<Mounted> = {
  title: "Commit upper as a layer, and mount a second container on it",
  goal: `A container has created a file in 'merged', and deleted another. Make a layer of what it has
    left in 'upper'. Then mount a second container on that layer and those below, with an upper
    directory of its own.`,
  async prepare({ $ }) {
    await $`mkdir base app upper work merged`;
    await $`echo "greetings from base" > base/greeting; echo "cat /greeting" > app/run.sh`;
    await $({
      changes: "an overlay is mounted on 'merged'",
      undo: "by 'umount', when the challenge ends",
    })`sudo mount -t overlay overlay -o lowerdir=app:base,upperdir=upper,workdir=work merged`;
    await $`echo "I was here" > merged/written.txt; rm merged/greeting; ls -l upper`;
  },
  remember: `(cd upper; ${listing})`,
  subjects: (world) =>
    [world.host, ...world.processes]
      .flatMap(({ mounts }) => mounts)
      .filter(
        (mount) =>
          mount.type === "overlay" &&
          mount.point.startsWith(`${world.directory}/`) &&
          layersOf(mount, world).lowers.some((lower) => lower.startsWith(`${world.directory}/`)) &&
          layersOf(mount, world).upper !== resolve(world.directory, "upper"),
      ),
  nothing: "There is no second overlay with directories from here below it.",
  criteria: [
    {
      text: "a second overlay is mounted, with an upper directory of its own",
      met(mount, world) {
        const { upper, lowers } = layersOf(mount, world);
        if (!upper) return "It has no upper directory, so nothing can be written.";
        return !lowers.includes(upper) || "Its upper is one of its lowers.";
      },
    },
    {
      text: "below it are a new layer, 'app' and 'base', in that order",
      met(mount, world) {
        const { lowers } = layersOf(mount, world);
        const [layer, ...rest] = lowers;
        const given = ["app", "base"].map((name) => resolve(world.directory, name));
        return (
          (layer !== given[0] && rest.join() === given.join()) || `Below are ${lowers.join(", ")}.`
        );
      },
    },
    {
      text: "the new layer holds what 'upper' holds, whiteout and all",
      met(mount, world) {
        const [layer = ""] = layersOf(mount, world).lowers;
        const now = world.read(`cd '${layer.replaceAll("'", "'\\''")}' && ${listing}`);
        const upper = [world.memory, world.read(`cd upper && ${listing}`)].filter(Boolean);
        return upper.includes(now) || `It holds ${now.trim().replaceAll("\n", ", ") || "nothing"}.`;
      },
    },
    {
      text: "nobody writes to the new layer any more",
      met(mount, world) {
        const [layer = ""] = layersOf(mount, world).lowers;
        const used = world.host.mounts.some(
          (each) => each.type === "overlay" && layersOf(each, world).upper === layer,
        );
        return !used || "It is still the upper of the first container.";
      },
    },
  ],
  hints: [
    `A layer is a directory, and so is 'upper'. A copy of it will do, if a whiteout is still one there.
    What packs files as they are?`,
    `'tar', as root: one packs, another unpacks. The copy goes to the front: 'lowerdir=…:app:base'.`,
    `The second container needs three more directories: an upper, a work and a merged of its own.`,
  ],
  async solution({ say, $ }) {
    say`'tar' packs a whiteout as what it is. (So does 'cp --archive', but for that of Ubuntu 25.10.) The
      copy is the new layer, and the second container has an upper, a work and a merged of its own.`;
    await $({
      changes: "'upper' is copied to 'layer', owners and all",
      undo: "with the chapter's directory",
    })`mkdir -p layer upper2 work2 merged2; sudo tar -C upper -c . | sudo tar -C layer -x`;
    await $({
      changes: "an overlay is mounted on 'merged2'",
      undo: "by 'umount', further down",
    })`sudo mount -t overlay overlay -o lowerdir=layer:app:base,upperdir=upper2,workdir=work2 merged2`;
    await $`ls -l merged2`;
    await $({ changes: "'merged' and 'merged2' are empty again" })`sudo umount merged merged2`;
  },
  afterwards: `That is 'docker commit', and what each RUN in a Dockerfile does: a container is started,
    its upper directory is kept as a layer (in an image it is a tar, with '.wh.NAME' for a whiteout),
    and the next one is mounted on top.`,
};

export const challenges: Challenge[] = [restore, commit];
