#!/usr/bin/env -S npx tsx
/**
 * 10 · image: files, names, and a web server
 *
 * **You know this:** 'docker build' makes an image of layers, 'docker push' and 'docker pull' move it,
 * and 'debian@sha256:9f8e…' names one that nobody can change.
 *
 * An image is a handful of files. Each layer is a tar, the config says what to start, and the
 * manifest lists them. Each is named by the checksum of what is in it. So whoever knows the name of
 * the manifest can check all of it, wherever it came from. A tag is one more name, which can move.
 *
 *     tag       manifest         config
 *     ┌───┐     ┌─────────┐      ┌──────────────────────────┐
 *     │ 1 ├────►│ config ─┼─────►│ start: cat /greeting     │
 *     └───┘     │ layers ─┼──┐   └──────────────────────────┘
 *               └─────────┘  └──► base.tar.gz   app.tar.gz
 *
 * @run npx tsx chapters/10-image.ts
 * @needs curl
 * @tries overlay
 * @takes --from
 * @see tar(1), sha256sum(1), mount(8), mknod(1)
 */
import { chapter, type Verbs } from "../lib/chapter.ts";
import { findProgram } from "../lib/shell.ts";

await chapter(import.meta.url, tell);

async function tell({ say, part, $, enter, same, differ, rootfs, shell, beside }: Verbs) {
  const ours = $({
    changes: "nothing but the chapter's directory",
    undo: "with that, or by 'umount'",
  });
  await part`Layers`;
  say`The first layer is a root file system, as in chapter 1, and two more files.`;
  await rootfs("base", "bash", "cat", "grep", "ls", "nsenter", "stat", "tr");
  await $`mkdir upper work merged; echo hunter2 > base/password`;
  await $`echo "greetings from base" > base/greeting`;
  say`For the second, mount an overlay on that, as in chapter 4, and change a few things. 'upper' then has the changes. Each RUN in a Dockerfile does the same.`;
  await ours`sudo mount -t overlay overlay -o lowerdir=base,upperdir=upper,workdir=work merged`;
  await $`rm merged/password; echo "greetings from app" > merged/greeting`;
  await ours`sudo umount merged; ls -l upper`;
  say`A deleted file is a whiteout, a device. In an image it is an empty file, with '.wh.' before its name, which everyone can make. (For a directory
    that was removed and made again there is '.wh..wh..opq' in it.)`;
  await $`find upper -type c -printf '%h/.wh.%f\n' | xargs touch; find upper -type c -delete; ls -A upper`;

  await part`Same files, same name`;
  say`A layer has two names: the checksum of its tar, and that of the packed tar. First the tar: make it twice.`;
  const first = await $`tar -C base -c . | sha256sum`;
  const again = await $`touch -d yesterday base/greeting; tar -C base -c . | sha256sum`;
  differ("the same files, and another checksum", { first, again });
  say`A tar also holds times and owners, and its files are in the order in which the directory has them.
    Fix all three, and only the files count. Builds that do so are called reproducible.`;
  await $`PACK="tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner"`;
  const fixed = await $`$PACK -C base -c . > base.tar; sha256sum < base.tar`;
  const twice = await $`touch base/greeting; $PACK -C base -c . | sha256sum`;
  same("now it is the same", { first: fixed, again: twice });
  await $`$PACK -C upper -c . > app.tar; tar -tvf app.tar; gzip -kn base.tar app.tar`;
  say`The config lists the tars (diff_ids). The manifest lists what has to be fetched, with type, size and name: the
    config, and the packed tars. 'digest' will print the name of a file.`;
  await $`echo 'echo sha256:$(sha256sum < $1 | cut -c -64)' > digest`;
  await $`echo '{"architecture":"'$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')'","os":"linux","config":{"Cmd":["cat","/greeting"]},' > config.json`;
  await $`echo '"rootfs":{"type":"layers","diff_ids":["'$(bash digest base.tar)'","'$(bash digest app.tar)'"]}}' >> config.json`;
  await $`echo 'echo "{\"mediaType\":\"application/vnd.oci.image.$2\",\"size\":$(stat -c %s $1),\"digest\":\"$(bash digest $1)\"}"' > item`;
  await $`echo 'echo "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":$(bash item $1 config.v1+json),"' > manifest`;
  await $`echo 'echo "\"layers\":[$(bash item base.tar.gz layer.v1.tar+gzip),$(bash item app.tar.gz layer.v1.tar+gzip)]}"' >> manifest`;
  await $`bash manifest config.json > manifest.json; tr , '\n' < manifest.json`;
  say`That is an image. The manifest's name is its digest. The config's is the IMAGE ID of 'podman images' (and of 'docker images' before Docker 29).`;

  await part`A registry is a web server`;
  say`Put the files where their URLs lead. A few lines of JavaScript hand them out, and take new ones.`;
  await $`BLOBS=registry/v2/box/blobs; mkdir -p pulled $BLOBS registry/v2/box/manifests; for FILE in config.json *.gz; do cp -v $FILE $BLOBS/$(bash digest $FILE); done`;
  await $`for TAG in 1 $(bash digest manifest.json); do cp manifest.json registry/v2/box/manifests/$TAG; done`;
  await $`echo 'const fs = require("fs"), type = { "Content-Type": "application/vnd.oci.image.manifest.v1+json" };' > registry.cjs`;
  await $`echo 'require("http").createServer((ask, answer) => {' >> registry.cjs`;
  await $`echo '  const file = "registry" + new URL("http://x" + ask.url.replace("?digest=", "")).pathname;' >> registry.cjs`;
  await $`echo '  if (ask.method === "POST") answer.writeHead(202, { Location: ask.url.replace("uploads/", "") }).end();' >> registry.cjs`;
  await $`echo '  else if (ask.method === "PUT") ask.pipe(fs.createWriteStream(file)).on("finish", () => answer.writeHead(201).end());' >> registry.cjs`;
  await $`echo '  else fs.readFile(file, (error, body) => answer.writeHead(error?.code === "ENOENT" ? 404 : 200, type).end(body));' >> registry.cjs`;
  await $`echo '}).listen(0, "127.0.0.1", function () { console.log(this.address().port); });' >> registry.cjs`;
  await $`${findProgram("node") ? "node" : process.execPath} registry.cjs > port 2> registry.log & REGISTRY=$!`;
  await $`timeout 20 bash -c 'until [ -s port ]; do sleep .1; done'; AT=127.0.0.1:$(cat port); BOX=http://$AT/v2/box`;

  await part`Pull`;
  say`'docker pull' asks for the manifest (or first for an index, with one for each processor), then for what it lists, and checks each file by its
    name. (If you have Docker, try 'docker run --rm $AT/box:1': where you paste, or in the shell at the chapter's next question.)`;
  const pulled = await $`curl -sS $BOX/manifests/1 > pulled.json; bash digest pulled.json`;
  same("the manifest is the one you made", { made: await $`bash digest manifest.json`, pulled });
  await $`NAMES=$(grep -o 'sha256:[0-9a-f]*' pulled.json | tr '\n' ' '); for NAME in $NAMES; do curl -sS $BOX/blobs/$NAME -o pulled/$NAME; done`;
  await $`printf "%s\n" $NAMES | sed 's/sha256:\(.*\)/\1  pulled\/&/' | sha256sum --check`;
  const id = await $`grep -o 'sha256:[0-9a-f]*' pulled/$(bash digest config.json) | tail -n 1`;
  const tar =
    await $`LAYER=$(bash digest app.tar.gz); gzip -dc pulled/$LAYER > tar; bash digest tar`;
  same("the config names what is in the layer", { "last of diff_ids": id, unpacked: tar });
  say`Now change a byte in the registry, of a time stamp: 'gzip' would still unpack the same files. But its name is not its checksum any more, so a
    pull would refuse it. (A tag names no checksum: there you believe the registry.)`;
  await $`printf X | dd of=$BLOBS/$LAYER bs=1 seek=4 conv=notrunc status=none`;
  const came =
    await $`curl -s $BOX/blobs/$LAYER > came; bash digest came; cp app.tar.gz $BLOBS/$LAYER`;
  differ("what came is something else", { "asked for": await $`echo $LAYER`, came });

  await part`Unpack, mount, start`;
  say`Each layer goes to a directory, in order, and what begins with '.wh.' becomes a whiteout again. (That hides the password, and makes nothing
    smaller: the first layer still has it, and is pulled whole. So a last layer that deletes a gigabyte saves nobody a byte.)`;
  await ours`N=0; for NAME in $(printf "%s\n" $NAMES | tail -n +2); do mkdir $((++N)); sudo tar -xzf pulled/$NAME -C $N; done; ls -A 2`;
  await ours`for FILE in $(cd 2; find . -name '.wh.*' | sed 's/\.wh\.//'); do sudo mknod 2/$FILE c 0 0; done; sudo find 2 -name '.wh.*' -delete`;
  await ours`mkdir up scratch root; sudo mount -t overlay overlay -o lowerdir=2:1,upperdir=up,workdir=scratch root`;
  const container = `sudo unshare --mount --uts --ipc --net --pid --fork --mount-proc --root root ${shell}`;
  const seen = await enter({ changes: "a root shell in new namespaces, with 'root' as its /" })`
    ${container}
    cat /password
    cat /greeting
  `;
  same("it has the second layer", { layer: await $`cat 2/greeting`, seen: seen("cat /greeting") });
  differ("and not what that deleted", { 1: await $`cat 1/password`, seen: seen("cat /password") });

  await part`Push`;
  say`An ENV in a Dockerfile makes no layer, only another config: most of the image is there already. So ask for each whether it is there (HEAD), and
    send the rest: POST asks where to, PUT sends it, and the manifest comes last.`;
  await $`sed 's/"config":{/&"Env":["LANG=C"],/' config.json > config2.json; bash manifest config2.json > manifest2.json`;
  await $`ALL="blobs/$(bash digest base.tar.gz) blobs/$LAYER blobs/$(bash digest config2.json) manifests/2"`;
  const ask = () => $`for IT in $ALL; do curl -sIo headers -w '%{http_code} ' $BOX/$IT; done; echo`;
  const before = await ask();
  await $`TO=$(curl -sSi -X POST $BOX/blobs/uploads/ | tr -d '\r' | sed -n 's/^location: //Ip'); echo $TO`;
  await $`curl -sS -X PUT --data-binary @config2.json "http://$AT$TO?digest=$(bash digest config2.json)"`;
  await $`for TAG in 2 $(bash digest manifest2.json); do curl -sS -X PUT --data-binary @manifest2.json $BOX/manifests/$TAG; done`;
  differ("only what was missing had to be sent", { before, after: await ask() });
  await beside(container);
  await $({ changes: "the registry ends" })`sudo umount root; kill $REGISTRY`;
}
