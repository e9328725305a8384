/**
 * Chapter 10 with --from: images from registries, good ones and bad ones. Most of them are in this
 * process; Debian's docker-registry is one of its own.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash, createSign, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { apply, parseReference } from "../../options/registry.ts";
import { busyboxRoot, tarOf, type Entry } from "../tar.ts";
import {
  cannotRun,
  chapter,
  fixture,
  leavesNothing,
  missingTools,
  mode,
  noOwnMounts,
  numbered,
  ownMounts,
  refused,
  run,
  toldToItsEnd,
  tsx,
  whyNot,
} from "../testing.ts";

const why = cannotRun || (await whyNot(numbered("10")));
const noBusybox = missingTools("busybox", "tar", "curl");

const directory = mkdtempSync(join(tmpdir(), "by-hand-from."));
const marker = join(directory, "marker");
writeFileSync(marker, "untouched");
after(() => rmSync(directory, { recursive: true }));

// ── Images

const processor = { x64: "amd64" }[process.arch as "x64"] ?? process.arch;
const oci = "application/vnd.oci.image";
const digestOf = (bytes: Buffer | string) =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

interface Packed {
  tar: Buffer;
  packed: Buffer;
}

const zipped = (...entries: Entry[]): Packed => {
  const tar = tarOf(entries);
  return { tar, packed: gzipSync(tar) };
};

/** The files of an image, by their URLs below its name. `change` makes its config and manifest others. */
function imageOf(layers: Packed[], change: { config?: object; manifest?: object } = {}) {
  const config = JSON.stringify({
    ...{ architecture: processor, os: "linux", config: { Cmd: ["sh"] } },
    rootfs: { type: "layers", diff_ids: layers.map(({ tar }) => digestOf(tar)) },
    ...change.config,
  });
  const list = (file: Buffer | string, type: string) => ({
    ...{ mediaType: `${oci}.${type}`, digest: digestOf(file), size: Buffer.byteLength(file) },
  });
  const manifest = JSON.stringify({
    ...{ schemaVersion: 2, mediaType: `${oci}.manifest.v1+json` },
    config: list(config, "config.v1+json"),
    layers: layers.map(({ packed }) => list(packed, "layer.v1.tar+gzip")),
    ...change.manifest,
  });
  const files = new Map<string, Buffer>();
  for (const file of [config, ...layers.map(({ packed }) => packed)])
    files.set(`blobs/${digestOf(file)}`, Buffer.from(file));
  for (const tag of ["1", digestOf(manifest)]) files.set(`manifests/${tag}`, Buffer.from(manifest));
  return files;
}

/** Bytes that have left for a client that may have gone. */
let sent = 0;
type Answers = (ask: IncomingMessage, answer: ServerResponse) => unknown;

const servers: Server[] = [];
after(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

/** Starts a web server; returns where it is. */
async function serve(answers: Answers): Promise<string> {
  const server = createServer((ask, answer) => void answers(ask, answer));
  servers.push(server);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A port of this machine's where nobody is. */
async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Hands out an image. */
const hands =
  (files: Map<string, Buffer>): Answers =>
  (ask, answer) => {
    const file = files.get(ask.url!.replace("/v2/box/", ""));
    const errors = [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }];
    answer.writeHead(file ? 200 : 404).end(file ?? JSON.stringify({ errors }));
  };

const timeout = 300_000;
const pull = (at: string) => leavesNothing(() => run(tsx(fixture("pull"), at), { timeout }));
const tell = (at: string) => run(chapter("10", "--yes", "--from", at), { timeout });
const from = (at: string) => leavesNothing(() => tell(at));

// ── Names

test("parseReference() knows a registry, a name, and a tag or a digest", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  for (const [text, host, name, tag] of [
    ["quay.example/a/b-c/d:1.2", "quay.example", "a/b-c/d", "1.2"],
    ["localhost/a", "localhost", "a", "latest"],
    ["localhost:5000/a__b", "localhost:5000", "a__b", "latest"],
    ["box:5000/a:x", "box:5000", "a", "x"],
    ["[::1]:5000/a", "[::1]:5000", "a", "latest"],
    [`a.example/b:1@${digest}`, "a.example", "b", digest],
    ["docker.io/debian:12", "registry-1.docker.io", "library/debian", "12"],
    ["docker.io/some/one", "registry-1.docker.io", "some/one", "latest"],
  ] as const)
    assert.deepEqual(parseReference(text), { host, name, tag });
});

test("parseReference() refuses what names no image in a registry", () => {
  const texts = [
    "",
    "debian",
    "debian:12",
    "some/one",
    "https://a.example/b",
    "a.example/",
    "a.example/B",
  ];
  const others = [
    "a.example/../b",
    "a.example/b:",
    "a.example/b@sha256:0",
    "a.example/b c",
    "u:p@a.example/b",
  ];
  for (const text of [
    ...texts,
    ...others,
    `a.example/b:$(touch x)`,
    `a.example/${"b".repeat(999)}`,
  ])
    assert.throws(() => parseReference(text), /--from takes HOST/, text);
});

// ── Layers

test("apply() says what a layer hides of those below it, and what is in its way", () => {
  const add = (tree: Parameters<typeof apply>[0], ...paths: string[]) =>
    apply(
      tree,
      paths.map((path) => ({
        type: path.endsWith("/") ? "d" : path.includes("@") ? "l" : "-",
        path,
      })),
    );
  for (const [what, below, layer, gone] of [
    ["nothing", ["./a/", "./a/b"], ["./a/", "./a/c", "d"], []],
    ["a file that is deleted", ["a/b", "a/c"], ["a/.wh.b"], ["a/b"]],
    ["a directory that is deleted", ["a/b/c"], ["a/.wh.b"], ["a/b"]],
    ["what was never there", ["a/b"], ["a/.wh.c", "x/.wh.y"], []],
    ["all in a directory", ["a/b", "a/c/d"], ["a/.wh..wh..opq", "a/e"], ["a/b", "a/c"]],
    ["only what is below the layer", ["a/b"], ["a/b", "a/.wh.b"], ["a/b"]],
    ["a file that is another", ["a/b"], ["a/b"], ["a/b"]],
    ["a link that becomes a directory", ["a@"], ["a@/b"], ["a@"]],
    ["a directory that becomes a link", ["a@/b"], ["a@"], ["a@"]],
  ] as const) {
    const tree = new Map();
    add(tree, ...below);
    assert.deepEqual(add(tree, ...layer), gone, what);
  }
});

const root: Entry[] = noBusybox ? [] : [...busyboxRoot(), { path: "proc", type: "5" }];

describe("--from makes a root of an image", { skip: cannotRun || noBusybox }, () => {
  const deleting = [
    zipped(
      { path: "a/old" },
      { path: "a/b/c" },
      { path: "gone" },
      { path: "out", type: "2", link: directory },
    ),
    zipped(
      { path: "a/.wh..wh..opq" },
      { path: "a/new" },
      { path: ".wh.gone" },
      { path: "out/marker" },
    ),
  ];
  const expected = ["d a", "d out", "d proc", "f a/new", "f out/marker"];
  const listed = (stdout: string) =>
    stdout
      .split("\n")
      .filter((line) => /^[dfl] \S/.test(line))
      .map((line) => line.trim());

  test("whose layers delete and replace, and nothing is written elsewhere", async () => {
    const at = await serve(hands(imageOf(deleting)));
    assert.deepEqual(listed((await pull(`${at}/box:1`)).stdout), expected);
    assert.deepEqual(readdirSync(directory), ["marker"]);
    assert.equal(readFileSync(marker, "utf8"), "untouched");
  });

  test("whose lower layers have links, whatever tar lists of them", async () => {
    const links = [
      { path: "a", owner: "b c" },
      { path: "d", time: 1e17 },
      { path: "e -> f" },
      { path: 'g" -> "h' },
    ];
    const layers = [
      zipped(...links.map((each) => ({ ...each, type: "2", link: directory }) as const)),
      zipped(...links.map(({ path }) => ({ path: `${path}/marker` }))),
    ];
    const at = await serve(hands(imageOf(layers)));
    const expected = links.flatMap(({ path }) => [`d ${path}`, `f ${path}/marker`]);
    assert.deepEqual(listed((await pull(`${at}/box:1`)).stdout), [...expected, "d proc"].sort());
    assert.equal(readFileSync(marker, "utf8"), "untouched");
  });

  test("by its digest", async () => {
    const files = imageOf(deleting);
    const digest = [...files.keys()].find((path) => path.startsWith("manifests/sha256"))!;
    const at = await serve(hands(files));
    assert.deepEqual(listed((await pull(`${at}/box@${digest.slice(10)}`)).stdout), expected);
  });

  for (const [what, pack] of [
    ["zstd", (tar: Buffer) => execFileSync("zstd", ["-c"], { input: tar })],
    ["nothing", (tar: Buffer) => tar],
  ] as const)
    test(`packed with ${what}`, { skip: what === "zstd" && missingTools("zstd") }, async () => {
      const layers = deleting.map(({ tar }) => ({ tar, packed: pack(tar) }));
      const at = await serve(hands(imageOf(layers)));
      assert.deepEqual(listed((await pull(`${at}/box:1`)).stdout), expected);
    });

  test("that has odd names in it", async () => {
    const names = ["a b", "a\\b", "a\nb", "-rf", "é", "*"];
    const layers = [
      zipped(...names.map((path) => ({ path: `x/${path}` }))),
      zipped(...names.map((path) => ({ path: `x/.wh.${path}` }))),
    ];
    const at = await serve(hands(imageOf(layers)));
    assert.deepEqual(listed((await pull(`${at}/box:1`)).stdout), ["d proc", "d x"]);
  });

  test("of which there is one for each machine, with a token, from somewhere else", async () => {
    const image = imageOf(deleting);
    const [digest] = [...image.keys()].filter((path) => path.startsWith("manifests/sha256"));
    const manifests = ["nothing", processor].map((architecture) => ({
      ...{ digest: architecture === processor ? digest!.slice(10) : digestOf("x") },
      ...{ size: 1, platform: { os: "linux", architecture } },
    }));
    image.set("manifests/1", Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })));
    const elsewhere = await serve((ask, answer) => {
      // A token is for the registry, and for nobody else.
      assert.equal(ask.headers.authorization, undefined);
      hands(image)(ask, answer);
    });
    const asked: string[] = [];
    const at = await serve((ask, answer) => {
      asked.push(ask.url!);
      const realm = `Bearer realm="http://${at}/token",service="it",scope="repository:box:pull"`;
      if (ask.url!.startsWith("/token")) return answer.end('{"access_token":"abc"}');
      if (ask.headers.authorization !== "Bearer abc")
        return answer.writeHead(401, { "www-authenticate": realm }).end("{}");
      if (!ask.url!.includes("/blobs/")) return hands(image)(ask, answer);
      answer.writeHead(307, { location: `http://${elsewhere}${ask.url}` }).end();
    });
    assert.deepEqual(listed((await pull(`${at}/box:1`)).stdout), expected);
    assert.ok(asked.includes("/token?service=it&scope=repository%3Abox%3Apull"), asked.join());
  });

  test("only if all layers can be unpacked", { skip: why }, async () => {
    const lower = zipped(...root, { path: "a", type: "1", link: "nothing" });
    const at = await serve(hands(imageOf([lower, zipped({ path: "new" })])));
    const { status, stdout } = await from(`${at}/box:1`);
    assert.equal(status, 1);
    assert.match(stdout, /Cannot hard link/);
  });

  test("with which the chapter is told to its end", { skip: why }, async () => {
    const at = await serve(hands(imageOf([zipped(...root), zipped({ path: "new" })])));
    const { stdout } = toldToItsEnd(await from(`${at}/box:1`));
    assert.match(stdout, /^Pulled: 2 layers, \d+ MB\.$/m);
    assert.match(stdout, /^In base goes the image /m);
  });
});

// ── What is refused

/** An image with a layer of these, which has a root below it. */
const bad = (...entries: Entry[]) =>
  hands(imageOf([zipped({ path: "bin/sh" }), zipped(...entries)]));
/** An image that is fine, but for what is done to its files. */
const spoilt = (spoil: (files: Map<string, Buffer>) => void) => {
  const files = imageOf([zipped({ path: "bin/sh" })]);
  spoil(files);
  return hands(files);
};
const layerOf = (files: Map<string, Buffer>) =>
  [...files.keys()].filter((path) => path.startsWith("blobs/")).at(-1)!;
const json = (value: unknown): Answers =>
  spoilt((files) => files.set("manifests/1", Buffer.from(JSON.stringify(value))));
const says =
  (status: number, headers: Record<string, string> = {}, text = ""): Answers =>
  (_, answer) =>
    answer.writeHead(status, headers).end(text);
const bearer = (realm: string) => ({ "www-authenticate": `Bearer realm="${realm}",service="it"` });
/** Sends 100 MB, or as much as is taken. */
const flood: Answers = (_, answer) => {
  answer.writeHead(200);
  const piece = Buffer.alloc(1e6, " ");
  const more = () => {
    while (sent < 1e8) {
      sent += piece.length;
      if (!answer.write(piece)) return void answer.once("drain", more);
    }
    answer.end();
  };
  more();
};

const hostile: [what: string, answers: Answers, why: RegExp][] = [
  ["a manifest of 100 MB", flood, /^The manifest is larger than 4000000 bytes/m],
  ["a manifest that is none", says(200, {}, "<html>"), /no manifest that is one/],
  ["a manifest of version 1", json({ schemaVersion: 1, fsLayers: [] }), /no manifest that is one/],
  [
    "a manifest whose files have no digests",
    json({ config: { digest: "sha256:../../x", size: 1 }, layers: [] }),
    /no manifest that is one/,
  ],
  [
    "layers that are too large",
    json({
      config: { digest: digestOf("x"), size: 1 },
      layers: [{ digest: digestOf("x"), size: 1e12 }],
    }),
    /1 layers of 1000000000000 bytes, which is too much/,
  ],
  [
    "too many layers",
    json({
      config: { digest: digestOf("x"), size: 1 },
      layers: Array(999).fill({ digest: digestOf("x"), size: 1 }),
    }),
    /999 layers/,
  ],
  [
    "an image for other machines",
    json({
      manifests: [
        { digest: digestOf("x"), size: 1, platform: { os: "linux", architecture: "vax" } },
      ],
    }),
    /box is for linux\/vax, and this is linux/,
  ],
  [
    "a config for another machine",
    hands(imageOf([], { config: { architecture: "vax" } })),
    /box is for vax/,
  ],
  [
    "a config that names no layers",
    hands(imageOf([zipped({ path: "a" })], { config: { rootfs: {} } })),
    /config of box does not name its layers/,
  ],
  [
    "a config that names other layers",
    hands(imageOf([zipped({ path: "a" })], { config: { rootfs: { diff_ids: [digestOf("x")] } } })),
    /does not unpack to what its config says/,
  ],
  [
    "another layer than was named",
    spoilt((files) => {
      const layer = Buffer.from(files.get(layerOf(files))!);
      layer[4] = 1;
      files.set(layerOf(files), layer);
    }),
    /Layer 1 of box is not what its name says/,
  ],
  [
    "a longer layer than was named",
    spoilt((files) => files.set(layerOf(files), Buffer.alloc(1e6))),
    /Layer 1 of box is larger than \d+ bytes/,
  ],
  [
    "a layer that ends early",
    spoilt((files) => files.set(layerOf(files), files.get(layerOf(files))!.subarray(0, 50))),
    /Layer 1 of box is truncated: only 50 of/,
  ],
  [
    "a connection that breaks",
    (ask, answer) => {
      const files = imageOf([zipped({ path: "bin/sh" })]);
      if (!ask.url!.endsWith(layerOf(files))) return hands(files)(ask, answer);
      answer.writeHead(200, { "content-length": "999" }).write("x");
      setTimeout(() => answer.destroy(), 100);
    },
    /Layer 1 of box is truncated: only 1 of/,
  ],
  [
    "a layer that is no tar",
    hands(imageOf([{ tar: Buffer.alloc(999, 1), packed: Buffer.alloc(999, 1) }])),
    /cannot be read/,
  ],
  [
    "a path with ..",
    bad({ path: "../../marker" }),
    /holds \.\.\/\.\.\/marker, a path that leads out/,
  ],
  ["an absolute path", bad({ path: marker }), /holds \/\S+marker, a path that leads out/],
  ["a device", bad({ path: "tmp/sda", type: "3" }), /holds the device tmp\/sda/],
  [
    "a hard link that leads up",
    bad({ path: "a", type: "1", link: "../../marker" }),
    /hard link to \.\.\/\.\.\/marker/,
  ],
  [
    "a hard link to an absolute path",
    bad({ path: "a", type: "1", link: marker }),
    /hard link to \/\S+marker/,
  ],
  [
    "a hard link through a link of a lower layer",
    hands(
      imageOf([
        zipped({ path: "a", type: "2", link: directory }),
        zipped({ path: "b", type: "1", link: "a/marker" }),
      ]),
    ),
    /hard link to a\/marker, which leads out/,
  ],
  [
    "a root without its programs",
    bad({ path: "a" }),
    /lacks what the chapter types in its root: cat/,
  ],
  [
    "a root with a file that it will write",
    hands(imageOf([zipped(...root, { path: "greeting", type: "2", link: marker })])),
    /holds a \/greeting/,
  ],
  [
    "a registry that wants a password",
    says(401, { "www-authenticate": 'Basic realm="it"' }),
    /wants a name and a password/,
  ],
  ["a registry that wants nothing known", says(401), /wants a name and a password/],
  [
    "a token from a server without https",
    says(401, bearer("http://10.0.0.1/token")),
    /leads to http:\/\/10\.0\.0\.1, and that is not https/,
  ],
  [
    "a token server that hands out none",
    (ask, answer) =>
      ask.url!.startsWith("/token")
        ? answer.writeHead(403).end('{"errors":[{"code":"DENIED","message":"not you"}]}')
        : answer.writeHead(401, bearer(`http://${ask.headers.host}/token`)).end(),
    /hands out no token for box: 403 DENIED not you/,
  ],
  [
    "a token that nobody takes",
    (ask, answer) =>
      ask.url!.startsWith("/token")
        ? answer.end('{"token":"abc"}')
        : answer.writeHead(401, bearer(`http://${ask.headers.host}/token`)).end(),
    /does not hand out box: 401/,
  ],
  ["a way out to a server without https", says(302, { location: "http://10.0.0.1/" }), /not https/],
  ["a way to a file", says(302, { location: "file:///etc/passwd" }), /not https/],
  ["a way that never ends", says(302, { location: "/v2/" }), /leads from one address to the next/],
  [
    "a name that nobody has",
    hands(new Map()),
    /does not hand out box: 404 MANIFEST_UNKNOWN manifest unknown/,
  ],
  ["a registry that is broken", says(500), /does not hand out box: 500/],
  [
    "a registry that has had enough",
    says(429, {}, '{"errors":[{"code":"TOOMANYREQUESTS"}]}'),
    /429 TOOMANYREQUESTS/,
  ],
  ["a registry that says nothing", () => {}, /does not answer: it is silent/],
  [
    "what an escape sequence is in",
    says(500, {}, '{"errors":[{"code":"\\u001b[2J"}]}'),
    /500 \?\[2J/,
  ],
];

test("--from refuses, before the first step,", { skip: why || noBusybox, concurrency: 3 }, (t) =>
  leavesNothing(async () => {
    const tests = hostile.map(([what, answers, reason]) =>
      t.test(what, async () => {
        const said = refused(await tell(`${await serve(answers)}/box:1`));
        assert.match(said, reason);
        assert.equal(said.trim().split("\n").length, 1, said);
        assert.equal(readFileSync(marker, "utf8"), "untouched");
      }),
    );
    const other = t.test("another manifest than its digest says", async () => {
      const at = await serve(says(200, {}, "{}"));
      const said = refused(await tell(`${at}/box@${digestOf("another")}`));
      assert.match(said, /The manifest is not what its name says/);
    });
    const nobody = t.test("a port where nobody is", async () => {
      const at = `127.0.0.1:${await freePort()}`;
      assert.match(refused(await tell(`${at}/box`)), /does not answer: ECONNREFUSED/);
    });
    await Promise.all([...tests, other, nobody]);
  }),
);

test("--from is refused beside other options, and by other chapters", { skip: why }, async () => {
  const at = ["--from", "localhost:5000/box"];
  for (const [command, reason] of [
    [chapter("10", ...at, "--rootfs", "busybox"), /Leave out one/],
    [chapter("10", ...at, "--print"), /--print starts nothing/],
    [chapter("10", ...at, "--challenge"), /Leave out --rootfs, --from/],
    [chapter(fixture("walk"), "--yes", ...at), /--from is for chapter 10/],
  ] as const)
    assert.match(refused(await run([...command])), reason);
});

test("of a manifest of 100 MB only the beginning was taken", { skip: why || noBusybox }, () => {
  assert.ok(sent > 4e6 && sent < 3e7, `${sent}`);
});

test(
  "--from refuses a bomb, and takes no more of the disk than a fifth",
  { skip: why || noOwnMounts },
  async () => {
    const tar = tarOf([{ path: "bin/sh", content: Buffer.alloc(64e6) }]);
    const at = await serve(hands(imageOf([{ tar, packed: gzipSync(tar) }])));
    const script = `mount -t tmpfs -o size=100m none /mnt || exit; TMPDIR=/mnt "$@" & PID=$!
    while kill -0 $PID 2>/dev/null; do df --output=used -B 1 /mnt | tail -n 1; sleep .05; done | sort -n | tail -n 1; wait $PID`;
    const command = chapter("10", "--yes", "--from", `${at}/box:1`).filter(
      (word) => word !== "--rootless",
    );
    const told = await leavesNothing(() =>
      run([...ownMounts, "bash", "-c", script, "bash", ...command], { timeout }),
    );
    assert.match(told.stderr, /unpacks to more than there is room for here: \d+ bytes/);
    assert.equal(told.status, 2);
    const used = Number(/^\d+$/m.exec(told.stdout)?.[0]);
    assert.ok(used > 1e6 && used < 3e7, `${used}`);
  },
);

// ── https

test(
  "--from checks the certificate of who is not on this machine",
  { skip: why || noBusybox || missingTools("openssl", "ip") || (mode !== "root" && "needs root") },
  async () => {
    const place = mkdtempSync(join(directory, "tls."));
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=10.111.0.1",
        "-addext",
        "subjectAltName=IP:10.111.0.1",
        "-keyout",
        join(place, "key"),
        "-out",
        join(place, "cert"),
      ],
      { stdio: "ignore" },
    );
    const files = JSON.stringify(
      [...imageOf([zipped(...root)])].map(([path, file]) => [path, file.toString("base64")]),
    );
    writeFileSync(join(place, "files.json"), files);
    const server = `const fs = require("fs"), files = new Map(JSON.parse(fs.readFileSync("files.json")));
    require("https").createServer({ key: fs.readFileSync("key"), cert: fs.readFileSync("cert") }, (ask, answer) => {
      const file = files.get(ask.url.replace("/v2/box/", ""));
      answer.writeHead(file ? 200 : 404).end(Buffer.from(file ?? "", "base64"));
    }).listen(443, "10.111.0.1", () => console.log("ready"));`;
    // A network of its own, in which that address is.
    const script = `ip link set lo up; ip address add 10.111.0.1/32 dev lo
    cd "$1"; shift; "$1" --eval "$2" > log & SERVER=$!; shift 2
    until grep --quiet ready log; do sleep .1; done
    "$@"; STATUS=$?; kill $SERVER; exit $STATUS`;
    const inside = (...flags: string[]) => [
      "unshare",
      "--net",
      "bash",
      "-c",
      script,
      "bash",
      place,
      process.execPath,
      server,
      ...chapter("10", "--yes", "--from", "10.111.0.1/box:1", ...flags),
    ];
    assert.match(
      refused(await run(inside(), { timeout })),
      /The certificate of 10\.111\.0\.1 is not trusted here: DEPTH_ZERO/,
    );
    const env = { NODE_EXTRA_CA_CERTS: join(place, "cert") };
    for (const flags of [[], ["--rootless"]])
      toldToItsEnd(await leavesNothing(() => run(inside(...flags), { env, timeout })));
  },
);

// ── Debian's registry

describe(
  "--from pulls from docker-registry",
  { skip: why || noBusybox || missingTools("docker-registry", "openssl") },
  () => {
    const image = imageOf([zipped(...root), zipped({ path: "new" })]);

    /** Starts one; `auth` is what its configuration says of tokens. */
    async function registry(auth = "") {
      const place = mkdtempSync(join(directory, "registry."));
      const port = await freePort();
      writeFileSync(
        join(place, "config.yml"),
        `version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: ${place}/data } }
http: { addr: "127.0.0.1:${port}" }
${auth}`,
      );
      const child = spawn("docker-registry", ["serve", join(place, "config.yml")], {
        stdio: "ignore",
      });
      after(() => child.kill("SIGKILL"));
      const at = `127.0.0.1:${port}`;
      for (let waited = 0; !(await fetch(`http://${at}/v2/`).catch(() => undefined)); waited++) {
        assert.ok(waited < 100, "docker-registry does not answer");
        await sleep(100);
      }
      return at;
    }

    /** Pushes the image by hand: POST, PUT, and the manifest at last. */
    async function push(at: string, headers: Record<string, string> = {}) {
      for (const [path, body] of image) {
        const [kind, name] = path.split("/") as [string, string];
        let to = `http://${at}/v2/box/${path}`;
        if (kind === "blobs") {
          const asked = await fetch(`http://${at}/v2/box/blobs/uploads/`, {
            method: "POST",
            headers,
          });
          assert.equal(asked.status, 202);
          const url = new URL(asked.headers.get("location")!, to);
          url.searchParams.set("digest", name);
          to = url.href;
        }
        const type = {
          "content-type": kind === "blobs" ? "application/octet-stream" : `${oci}.manifest.v1+json`,
        };
        const put = await fetch(to, { method: "PUT", body, headers: { ...headers, ...type } });
        assert.equal(put.status, 201, await put.text());
      }
    }

    test("as it is, and gives its reasons", async () => {
      const at = await registry();
      await push(at);
      const { stdout } = toldToItsEnd(await from(`${at}/box:1`));
      assert.match(stdout, /^Pulled: 2 layers/m);
      assert.match(refused(await from(`${at}/box:2`)), /404 MANIFEST_UNKNOWN manifest unknown/);
      assert.match(refused(await from(`${at}/none`)), /404 (NAME|MANIFEST)_UNKNOWN/);
    });

    test("with a token, as the one that it trusts hands out", async () => {
      const place = mkdtempSync(join(directory, "token."));
      const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
      writeFileSync(join(place, "key"), privateKey.export({ type: "pkcs8", format: "pem" }));
      execFileSync(
        "openssl",
        [
          "req",
          "-x509",
          "-new",
          "-key",
          join(place, "key"),
          "-days",
          "2",
          "-subj",
          "/CN=token",
          "-out",
          join(place, "cert"),
        ],
        { stdio: "ignore" },
      );
      const x5c = [readFileSync(join(place, "cert"), "utf8").replace(/-----.*-----|\n/g, "")];
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const token = (...actions: string[]) => {
        const now = Math.floor(Date.now() / 1000);
        const access = [{ type: "repository", name: "box", actions }];
        const claims = {
          iss: "it",
          sub: "",
          aud: "registry",
          exp: now + 60,
          nbf: now - 60,
          iat: now,
          jti: "1",
          access,
        };
        const text = `${part({ typ: "JWT", alg: "RS256", x5c })}.${part(claims)}`;
        return `${text}.${createSign("sha256").update(text).sign(privateKey).toString("base64url")}`;
      };
      let gives = true;
      const server = await serve((ask, answer) => {
        const asked = new URL(ask.url!, "http://it").searchParams;
        assert.deepEqual(
          [asked.get("service"), asked.get("scope")],
          ["registry", "repository:box:pull"],
        );
        answer.end(JSON.stringify({ token: token(...(gives ? ["pull"] : [])) }));
      });
      const at = await registry(
        `auth: { token: { realm: "http://${server}/token", service: registry, issuer: it, rootcertbundle: ${place}/cert } }`,
      );
      await push(at, { authorization: `Bearer ${token("pull", "push")}` });
      toldToItsEnd(await from(`${at}/box:1`));
      gives = false;
      assert.match(refused(await from(`${at}/box:1`)), /401 UNAUTHORIZED authentication required/);
    });
  },
);
