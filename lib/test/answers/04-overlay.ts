/** Answers to the challenges of 04 · overlay, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

export const answers: Answer[][] = [
  [
    {
      name: "a file that is written anew",
      lines: ['echo "flour, water, salt" > merged/recipe.txt', "true"],
    },
    {
      name: "a file in upper, before it is mounted again, by full paths",
      lines: [
        "sudo umount merged; cp -a one/recipe.txt upper",
        // Paths of a test are long, and fsconfig(2) takes 255 bytes for an option.
        'sudo env LIBMOUNT_FORCE_MOUNT2=always mount -t overlay o -o "lowerdir=$PWD/three:$PWD/two:$PWD/one,upperdir=$PWD/upper,workdir=$PWD/work" merged',
      ],
    },
    {
      name: "a whiteout that is taken out of its layer",
      lines: [
        "sudo umount merged; rm -f two/recipe.txt",
        "sudo mount -t overlay overlay -o lowerdir=three:two:one,upperdir=upper,workdir=work merged",
      ],
      missing: { 2: /no such file in the upper/, 3: /Another is two/ },
    },
    {
      name: "a mount without the layer that deletes",
      lines: [
        "sudo umount merged",
        "sudo mount -t overlay overlay -o lowerdir=three:one,upperdir=upper,workdir=work merged",
      ],
      missing: { 0: /Below are/, 2: /no such file in the upper/ },
    },
    {
      name: "a bind mount on top of it",
      lines: ["sudo mount --bind one merged"],
      missing: { 2: /no such file in the upper/ },
    },
    {
      name: "an empty file of that name",
      lines: ["touch merged/recipe.txt"],
      missing: { 1: /It holds ""/ },
    },
  ],
  [
    {
      name: "an upper that is moved, when nobody uses it",
      lines: [
        "sudo umount merged; mv upper third; mkdir u w",
        "sudo mount -t overlay o -o lowerdir=third:app:base,upperdir=u,workdir=w merged",
      ],
    },
    {
      name: "a copy by cp, and a mount namespace of the container's own",
      lines: [
        "mkdir u w; sudo cp --archive upper l",
        [
          "sudo unshare --mount bash",
          "mount -t overlay o -o lowerdir=l:app:base,upperdir=u,workdir=w app",
          "ls app",
        ],
      ],
    },
    {
      name: "a copy of merged, without the whiteout",
      lines: [
        "cp -r merged layer; mkdir u w m",
        "sudo mount -t overlay o -o lowerdir=layer:app:base,upperdir=u,workdir=w m",
      ],
      missing: { 2: /It holds run.sh/ },
    },
    {
      name: "a bind mount in place of an overlay",
      lines: [
        "cp -r merged layer; mkdir m; sudo mount --bind layer m",
        "sudo mount -t overlay o -o lowerdir=app:base merged",
      ],
      missing: { 0: /no upper/, 1: /Below are/, 2: /It holds/ },
    },
    {
      name: "the upper that the first one still writes to",
      lines: [
        "mkdir u w m; sudo mount -t overlay o -o index=off,lowerdir=upper:app:base,upperdir=u,workdir=w m",
      ],
      missing: { 3: /still the upper/ },
    },
    {
      name: "the new layer below the others",
      lines: [
        "sudo cp -a upper layer; mkdir u w m",
        "sudo mount -t overlay o -o lowerdir=app:base:layer,upperdir=u,workdir=w m",
      ],
      missing: { 1: /Below are/, 2: /It holds run.sh/ },
    },
  ],
];
