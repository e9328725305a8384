/**
 * 10 · image: further challenges
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Challenge, Criterion } from "../../lib/options/challenge.ts";
import type { World } from "../../lib/options/world.ts";
import type { Verbs } from "../../lib/verbs.ts";

/** Makes an image of directories that are called 1, 2 and so on: 'image' then has all of its files. */
async function makeImage({ say, $ }: Verbs, ...layers: string[]) {
  say`Four small scripts make an image, as in the chapter: 'digest' prints the name of a file, 'add' puts
    one into 'image', 'layer' adds a directory as a layer, and 'finish' prints the manifest.`;
  await $`echo 'echo sha256:$(sha256sum < $1 | cut -c -64)' > digest`;
  await $`echo 'NAME=$(bash digest $1); cp $1 image/$NAME; echo "{\"mediaType\":\"application/vnd.oci.image.$2\",\"size\":$(stat -c %s $1),\"digest\":\"$NAME\"}"' > add`;
  await $`echo 'tar -C $1 -c . > tar; echo "\"$(bash digest tar)\"" >> ids; gzip -n tar; bash add tar.gz layer.v1.tar+gzip >> layers; rm tar.gz' > layer`;
  await $`echo 'echo "{\"architecture\":\"$(uname -m | sed "s/x86_64/amd64/; s/aarch64/arm64/")\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"cat\",\"/greeting\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[$(paste -sd, ids)]}}" > config.json' > finish`;
  await $`echo 'echo "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":$(bash add config.json config.v1+json),\"layers\":[$(paste -sd, layers)]}"' >> finish`;
  const all = layers.join(" ");
  await $`mkdir image; for N in ${all}; do bash layer $N; done; bash finish > image/manifest.json; rm -r ${all}; ls image`;
}

// ── What is looked at

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

interface Manifest {
  config: Descriptor;
  layers: Descriptor[];
}

/** What a file holds; undefined if it is not there. */
function content(...path: string[]): Buffer | undefined {
  try {
    return readFileSync(join(...path));
  } catch {
    return undefined;
  }
}

/** What a file of JSON holds; undefined if it is none. */
function json<T>(file: Buffer | undefined): Partial<T> | undefined {
  try {
    return JSON.parse(String(file)) as Partial<T>;
  } catch {
    return undefined;
  }
}

const digestOf = (file: Buffer) => `sha256:${createHash("sha256").update(file).digest("hex")}`;

/** What is wrong with the files that are listed somewhere; undefined if nothing is. */
function wrongBlob(
  listed: (Descriptor | undefined)[],
  find: (digest: string) => Buffer | undefined,
) {
  for (const each of listed) {
    const file = find(String(each?.digest));
    if (!file) return `There is no file for ${each?.digest}.`;
    if (digestOf(file) !== each?.digest)
      return `What is called ${each?.digest} is ${digestOf(file)}.`;
    if (file.length !== each.size)
      return `${each.digest} has ${file.length} bytes, not ${each.size}.`;
  }
  return undefined;
}

/** Lists the files of the image, with their checksums. */
const remember = "(cd image; sha256sum *)";

/** The image as it was, whatever has come to it. */
const unchanged: Criterion<unknown> = {
  text: "the files that were in 'image' have not changed",
  met(_, { memory, read }) {
    const now = read(remember).split("\n");
    const other = memory.split("\n").find((line) => !now.includes(line));
    return other === undefined || `Another is ${other.split(/ +/)[1]}.`;
  },
};

// ── Find

const secret: Challenge<Buffer | undefined> = {
  title: "Find the secret that a later layer deleted",
  goal: `Someone's image needed a token while it was built, and deleted it before it was pushed. Write that
    token to a file 'found'. (An older one, 'changeme', was there, too, and is of no use.)`,
  async prepare(verbs) {
    const { $ } = verbs;
    await $`mkdir -p 1/app 2/app 3/app 4/app; echo 'cat /app/token' > 1/app/build.sh; echo changeme > 1/app/token`;
    await $`head -c 9 /dev/urandom | base64 > 2/app/token; touch 3/app/.wh.token 4/app/ready`;
    await makeImage(verbs, "1", "2", "3", "4");
  },
  remember: `NAME=$(grep -o 'sha256:[0-9a-f]*' image/manifest.json | sed -n 3p); tar -xzOf image/$NAME ./app/token; ${remember}`,
  subjects: ({ directory }) => [content(directory, "found")],
  nothing: "There is no file 'found'.",
  criteria: [
    {
      text: "'found' holds the token",
      met(found, { memory }) {
        if (!found) return "There is no file 'found'.";
        return String(found).trim() === memory.split("\n", 1)[0] || `It holds ${found}`.trim();
      },
    },
    {
      ...unchanged,
      met: (subject, world) =>
        unchanged.met(subject, { ...world, memory: world.memory.replace(/.*\n/, "") }),
    },
  ],
  hints: [
    `The manifest lists the layers, from the first to the last: 'cat image/manifest.json'.`,
    `Each is a packed tar. What does 'tar -tzf' list in each of them?`,
    `The third has the whiteout, so the token was last written by the second. 'tar -xzOf' prints a file.`,
  ],
  async solution({ say, $ }) {
    say`List each layer, in order. (The first name in the manifest is the config's.)`;
    await $`NAMES=$(grep -o 'sha256:[0-9a-f]*' image/manifest.json | tail -n +2); for NAME in $NAMES; do echo $NAME; tar -tzf image/$NAME | sed -n /token/p; done`;
    say`The third deletes what the second wrote last, so the second still has it.`;
    await $`tar -xzOf image/$(echo "$NAMES" | sed -n 2p) ./app/token > found; cat found`;
  },
  afterwards: `A whiteout hides a file from the container, not from whoever pulls the image: the layer
    below is fetched as it was. So a secret that was ever in a layer is public, and has to be replaced.
    'docker build --secret' mounts it for one RUN only, and it never gets into a layer.`,
};

// ── Delete

interface Second {
  manifest?: Partial<Manifest>;
  first?: Partial<Manifest>;
  find(digest: unknown): Buffer | undefined;
}

/** A layer without its gzip, if it has one. */
function unpacked(file: Buffer): Buffer {
  return file[0] === 0x1f && file[1] === 0x8b ? gunzipSync(file, { maxOutputLength: 1e8 }) : file;
}

const third: Challenge<Second> = {
  title: "Delete a file by a third layer",
  goal: `The image in 'image' has two layers, and one of them has a file 'password'. Make a second version,
    'image/manifest2.json', in which it is deleted. Whoever has pulled the first one should have to fetch as
    little as possible: so add a layer, and leave the others as they are.`,
  async prepare(verbs) {
    await verbs.$`mkdir 1 2; echo hunter2 > 1/password; echo hello > 2/greeting`;
    await makeImage(verbs, "1", "2");
  },
  remember,
  subjects({ directory }) {
    const [manifest, first] = ["manifest2.json", "manifest.json"].map((name) =>
      json<Manifest>(content(directory, "image", name)),
    );
    const find = (digest: unknown) => content(directory, "image", String(digest));
    return [{ manifest, first, find }];
  },
  nothing: "There is no 'image/manifest2.json'.",
  criteria: [
    {
      text: "'image/manifest2.json' lists three layers, and the first two are those of 'manifest.json'",
      met({ manifest, first }) {
        if (!manifest) return "There is no such file, or it is no JSON.";
        const names = (manifest.layers ?? []).map(({ digest }) => digest);
        if (names.length !== 3) return `It lists ${names.length} layers.`;
        const other = names.findIndex((name, at) => at < 2 && name !== first?.layers?.[at]?.digest);
        return other < 0 || `Its number ${other + 1} is another.`;
      },
    },
    {
      text: "all that it lists is in 'image', and is what its name and its size say",
      met: ({ manifest, find }) =>
        manifest === undefined
          ? "There is no such file."
          : (wrongBlob([manifest.config, ...(manifest.layers ?? [])], find) ?? true),
    },
    {
      text: "the third layer deletes 'password', and does nothing else",
      met({ manifest, find }, { read }) {
        const digest = String(manifest?.layers?.[2]?.digest);
        if (!/^sha256:\w+$/.test(digest) || !find(digest)) return "There is no third layer.";
        const files = read(`tar --list --file image/${digest}`).split("\n").filter(Boolean);
        const names = files.map((name) => name.replace(/^\.\//, "")).filter(Boolean);
        return names.join() === ".wh.password" || `In it is ${names.join(", ") || "nothing"}.`;
      },
    },
    {
      text: "its config lists the three tars as they are unpacked",
      met({ manifest, find }) {
        const config = json<{ rootfs: { diff_ids: string[] } }>(find(manifest?.config?.digest));
        const ids = config?.rootfs?.diff_ids ?? [];
        const tars = (manifest?.layers ?? []).map(({ digest }) => find(digest));
        const names = tars.map((tar) => tar && digestOf(unpacked(tar)));
        if (ids.length !== 3) return `It lists ${ids.length}.`;
        const other = ids.findIndex((id, at) => id !== names[at]);
        return (
          other < 0 || `Its number ${other + 1} is ${ids[other]}, and should be ${names[other]}.`
        );
      },
    },
    unchanged,
  ],
  hints: [
    `A layer that deletes has an empty file, whose name begins with '.wh.'.`,
    `'bash layer DIRECTORY' packs one, and notes it in the files 'ids' and 'layers'. 'bash finish' makes
    the config and prints the manifest, from those.`,
  ],
  async solution({ say, $ }) {
    say`One more directory with a whiteout in it. The scripts have noted the other layers.`;
    await $`mkdir 3; touch 3/.wh.password; bash layer 3; bash finish > image/manifest2.json`;
    await $`ls -l image; tr , '\n' < image/manifest2.json`;
  },
  afterwards: `That is what 'RUN rm /password' makes: a config, a manifest, and a layer of a hundred bytes
    or so. The image has not become smaller, and whoever has it can still read the file. Not to have it
    there takes other layers, as a second FROM with COPY --from makes, and everyone fetches those anew.`,
};

// ── Lay out

interface Layout {
  version?: { imageLayoutVersion: string };
  index?: Partial<{ schemaVersion: number; manifests: Descriptor[] }>;
  manifest?: Partial<Manifest>;
  find(digest: unknown): Buffer | undefined;
}

/** Looks at what the specification asks for: image-layout.md of the Open Container Initiative. */
function lookAtLayout({ directory }: World): Layout {
  const file = (...path: string[]) => content(directory, "layout", ...path);
  const find = (digest: unknown) => file("blobs", ...String(digest).split(":"));
  const index = json<{ schemaVersion: number; manifests: Descriptor[] }>(file("index.json"));
  return {
    version: json<{ imageLayoutVersion: string }>(file("oci-layout")) as Layout["version"],
    ...{ index, manifest: json<Manifest>(find(index?.manifests?.[0]?.digest)), find },
  };
}

const layout: Challenge<Layout> = {
  title: "Lay the image out as a directory that skopeo and Podman take",
  goal: `An image can be handed on without a registry: as a directory, the OCI image layout, which
    'skopeo copy oci:layout …' and 'podman pull oci:layout' read. Make 'layout' of the files in 'image'. It
    takes a file 'oci-layout', which says "imageLayoutVersion": "1.0.0"; a file 'index.json', which lists
    the manifest; and a directory 'blobs/sha256', in which everything is named by its checksum, the
    manifest as well.`,
  async prepare(verbs) {
    await verbs.$`mkdir 1 2; echo hello > 1/greeting; echo bye > 2/goodbye`;
    await makeImage(verbs, "1", "2");
  },
  remember,
  subjects: (world) => [lookAtLayout(world)],
  nothing: "There is no directory 'layout'.",
  criteria: [
    {
      text: "'layout/oci-layout' says that it is of version 1.0.0",
      met: ({ version }) =>
        version?.imageLayoutVersion === "1.0.0" || "There is no such file, or it does not say so.",
    },
    {
      text: "'layout/index.json' lists the manifest of 'image', with its type, name and size",
      met({ index, manifest }, { directory }) {
        const [listed] = index?.manifests ?? [];
        if (index?.schemaVersion !== 2 || !listed)
          return 'There is no such file, or it is no index: {"schemaVersion":2,"manifests":[…]}.';
        const file = content(directory, "image", "manifest.json");
        if (!file || listed.digest !== digestOf(file)) return `It lists ${listed.digest}.`;
        if (listed.mediaType !== "application/vnd.oci.image.manifest.v1+json")
          return `It says that its type is ${listed.mediaType}.`;
        return manifest !== undefined || "The manifest is not in 'layout/blobs/sha256'.";
      },
    },
    {
      text: "that, and all that the manifest lists, is in 'layout/blobs', and is what its name says",
      met: ({ index, manifest, find }) =>
        wrongBlob(
          [index?.manifests?.[0], manifest?.config, ...(manifest?.layers ?? [undefined])],
          find,
        ) ?? true,
    },
    unchanged as Criterion<Layout>,
  ],
  hints: [
    `The names in 'image' are 'sha256:9f8e…'. In a layout the colon is a slash.`,
    `What 'index.json' lists looks like what a manifest lists: mediaType, digest and size. 'bash digest
    image/manifest.json' prints the one, 'stat -c %s image/manifest.json' the other.`,
  ],
  async solution({ say, $ }) {
    say`Copy everything to its name, and write the two files.`;
    await $`mkdir -p layout/blobs/sha256; for FILE in image/*; do cp "$FILE" "layout/blobs/sha256/$(sha256sum < "$FILE" | cut -c -64)"; done`;
    await $`echo '{"imageLayoutVersion":"1.0.0"}' > layout/oci-layout`;
    await $`echo '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":'$(stat -c %s image/manifest.json)',"digest":"'$(bash digest image/manifest.json)'"}]}' > layout/index.json`;
    await $`find layout -type f`;
  },
  afterwards: `'docker save' writes such a directory, too, as a tar, since Docker 25. And a registry has the
    same files under other paths: so whoever mirrors images copies files, and checks their names.`,
};

export const challenges: Challenge[] = [secret, third, layout];
