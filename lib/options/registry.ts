/**
 * --from HOST[:PORT]/NAME[:TAG]: a root file system that is an image in a registry.
 *
 * It is pulled before the first step. Nobody is trusted: every file has to be what its name says, so
 * has every tar that it unpacks to, and all of it is bounded.
 *
 * @see the distribution and the image specification of the Open Container Initiative, tar(5)
 */
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CannotStart, requireTools } from "../preflight.ts";
import { print } from "../screen.ts";
import type { Shell } from "../shell.ts";
import type { Asked } from "../walk.ts";
import { listTar, parseListing, requireContents, unpackTar, use, type Member } from "./rootfs.ts";

/** The most that is taken: bytes, layers, files. */
const most = { json: 4e6, packed: 1e9, unpacked: 2e9, listing: 64e6, layers: 100, files: 500_000 };
/** How long a registry may be silent; milliseconds. */
const patience = 30_000;

function refuse(why: string): never {
  throw new CannotStart(why);
}

/** An image in a registry; its tag may be a digest. */
interface Reference {
  host: string;
  name: string;
  tag: string;
}

/**
 * Has root file systems made of an image in a registry.
 *
 * @throws CannotStart if the text names none
 */
export function useRegistry(asked: Asked, text: string) {
  const reference = parseReference(text);
  const title = `the image ${text}`;
  let all = ["1"];
  use(asked, {
    ...{ title, programs: ["tar"] },
    async list(shell) {
      const place = join(shell.directory, "from");
      mkdirSync(place);
      const ids = await pull(reference, place);
      all = ids.map((_, index) => `${index + 1}`);
      return unpackAll(title, ids, place, shell);
    },
    async fill(directory, { say, $ }) {
      say`In ${directory} goes ${title}. It has been pulled to '$TMPDIR/from', by requests like those that you
        will see below, and each file is what its name says. Its layers are unpacked in order, and before
        each of them what it hides is removed. The files become yours (--no-same-owner), and devices are
        left out.`;
      await $`mkdir -p ${directory}/proc`;
      await $`for N in ${all.join(" ")}; do (cd ${directory} && xargs -0 rm -rf -- < "$TMPDIR/from/$N.hides") && ${unpackTar(directory)} --no-anchored --exclude='.wh.*' --file "$TMPDIR/from/$N" || exit; done`;
    },
  });
}

/**
 * What a text names.
 *
 * @throws CannotStart if that is no image in a registry
 */
export function parseReference(text: string): Reference {
  const host = /(?:[\w-]+\.)+[\w-]+(?::\d+)?|[\w-]+:\d+|localhost|\[[\da-f:]+\](?::\d+)?/.source;
  const name = /[a-z\d]+(?:[._/-]+[a-z\d]+)*/.source;
  const whole = `^(${host})/(${name})(?::(\\w[\\w.-]*))?(?:@(sha256:[\\da-f]{64}))?$`;
  const [, at, path = "", tag = "latest", digest = tag] = new RegExp(whole).exec(text) ?? [];
  if (!at || text.length > 400)
    refuse(`--from takes HOST[:PORT]/NAME[:TAG], such as docker.io/debian:12, and not "${text}".`);
  if (at !== "docker.io") return { host: at, name: path, tag: digest };
  const official = path.includes("/") ? path : `library/${path}`;
  return { host: "registry-1.docker.io", name: official, tag: digest };
}

// ── Requests

const isLoopback = (host: string) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);

/** Returns what asks a registry for something of an image. */
function connect({ host, name }: Reference) {
  const origin = `${isLoopback(host) ? "http" : "https"}://${host}`;
  let authorization = "";

  /** Asks a server, and whoever it sends us to. */
  async function get(from: string, headers: Record<string, string> = {}): Promise<Response> {
    let url = new URL(from, origin);
    for (let hops = 0; hops < 6; hops++) {
      // Nobody on the net is to send us to a server on this machine.
      if (url.protocol !== "https:" && !(isLoopback(host) && isLoopback(url.host)))
        refuse(`${host} leads to ${url.origin}, and that is not https.`);
      const isOurs = url.origin === origin && authorization !== "";
      const answer = await knock(url, isOurs ? { ...headers, authorization } : headers);
      const next = answer.headers.get("location");
      if (answer.status < 300 || answer.status > 399 || !next) return answer;
      await answer.body?.cancel();
      url = new URL(next, url);
    }
    return refuse(`${host} leads from one address to the next, and never to ${name}.`);
  }

  /** Gets a token from where a refusal says. */
  async function authorize(refusal: Response) {
    const asks = refusal.headers.get("www-authenticate") ?? "";
    const field = (key: string) => new RegExp(`\\b${key}="([^"]*)"`).exec(asks)?.[1];
    const realm = field("realm") ?? "";
    if (!/^bearer /i.test(asks) || !URL.canParse(realm))
      refuse(
        `${host} wants a name and a password for ${name}. --from pulls what everyone may have.`,
      );
    const url = new URL(realm);
    url.searchParams.set("service", field("service") ?? host);
    url.searchParams.set("scope", field("scope") ?? `repository:${name}:pull`);
    const answer = await get(url.href);
    const text = await textOf(answer, "The token");
    const { token, access_token = token } = parse(text) ?? {};
    if (!answer.ok || !/^[\x21-\x7e]+$/.test(String(access_token ?? "")))
      refuse(`${url.host} hands out no token for ${name}: ${words(answer, text)}.`);
    authorization = `Bearer ${String(access_token)}`;
  }

  return async function ask(path: string, accept = "*/*"): Promise<Response> {
    const request = () => get(`/v2/${name}/${path}`, { accept, "accept-encoding": "identity" });
    let answer = await request();
    if (answer.status === 401) {
      await answer.body?.cancel();
      await authorize(answer);
      answer = await request();
    }
    if (answer.ok) return answer;
    const text = await textOf(answer, "The refusal");
    return refuse(`${host} does not hand out ${name}: ${words(answer, text)}.`);
  };
}

/** Asks a server; if nobody answers, says why. */
async function knock(url: URL, headers: Record<string, string>): Promise<Response> {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), patience);
  try {
    return await fetch(url, { headers, redirect: "manual", signal: silence.signal });
  } catch (error) {
    const { message, cause } = error as Error & { cause?: { code?: string } };
    const why = silence.signal.aborted ? "it is silent" : (cause?.code ?? message);
    const remedy =
      "If your own authority has signed it, set NODE_EXTRA_CA_CERTS to that one's file.";
    return /CERT|SIGNED|SIGNATURE/.test(why)
      ? refuse(`The certificate of ${url.host} is not trusted here: ${why}. ${remedy}`)
      : refuse(`${url.host} does not answer: ${why}.`);
  } finally {
    clearTimeout(timer);
  }
}

/** A refusal in the registry's own words. */
function words({ status, statusText }: Response, text: string): string {
  const errors = parse(text)?.errors;
  const [first] = Array.isArray(errors) ? (errors as Record<string, unknown>[]) : [];
  const all = [status, first?.code ?? statusText, first?.message];
  return all.filter(Boolean).join(" ").slice(0, 200);
}

/** The pieces of an answer's body, up to so many bytes, as they come. */
async function* pieces({ body }: Response, size: number, what: string) {
  const reader = body?.getReader();
  let got = 0;
  for (;;) {
    const silence = setTimeout(() => void reader?.cancel(), patience);
    const { done, value } = (await reader?.read().catch(() => undefined)) ?? { done: true };
    clearTimeout(silence);
    if (done || !value) return;
    got += value.length;
    if (got > size) {
      await reader?.cancel();
      refuse(`${what} is larger than ${size} bytes, so the rest is not taken.`);
    }
    yield value;
  }
}

async function textOf(answer: Response, what: string): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces(answer, most.json, what)) all.push(piece);
  return Buffer.concat(all).toString();
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

// ── An image

/** A file, as a manifest lists it. */
interface Descriptor {
  digest: string;
  size: number;
  platform?: { os?: string; architecture?: string };
}

const sha256 = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;

/** What a manifest may be called; one may also list others, each for another machine. */
const types = ["oci.image.manifest.v1", "docker.distribution.manifest.v2"]
  .concat("oci.image.index.v1", "docker.distribution.manifest.list.v2")
  .map((type) => `application/vnd.${type}+json`)
  .join(", ");

/** How images call this machine's processor. */
const processor = { x64: "amd64", ia32: "386" }[process.arch as "x64"] ?? process.arch;

/**
 * Pulls an image.
 *
 * @param place a directory, where its layers will be: 1.packed, 2.packed and so on
 * @returns the checksums of the unpacked layers, as the config has them
 */
async function pull(reference: Reference, place: string): Promise<string[]> {
  const { host, name, tag } = reference;
  const ask = connect(reference);
  const isNot = (what: string, digest: string) =>
    refuse(`${what} is not what its name says: it should be ${digest}. Do not trust ${host}.`);
  const listed = (list: unknown): Descriptor[] =>
    (Array.isArray(list) ? list : [list]).map((each) => {
      const { digest, size, platform } = Object(each) as Descriptor;
      const isOne = /^sha256:[\da-f]{64}$/.test(digest) && Number.isSafeInteger(size) && size >= 0;
      return isOne ? { digest, size, platform } : refuse(`${name} has no manifest that is one.`);
    });
  async function json(what: string, path: string, digest?: string) {
    const text = await textOf(await ask(path, types), what);
    if (digest && sha256(text) !== digest) isNot(what, digest);
    return parse(text) ?? {};
  }

  const digest = tag.includes(":") ? tag : undefined;
  let manifest = await json("The manifest", `manifests/${tag}`, digest);
  if (manifest.manifests) {
    const all = listed(manifest.manifests);
    const kinds = all.map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
    const fit = all[kinds.indexOf(`linux/${processor}`)];
    if (!fit) refuse(`${name} is for ${kinds.join(", ")}, and this is linux/${processor}.`);
    manifest = await json("The manifest", `manifests/${fit.digest}`, fit.digest);
  }
  const [first, layers] = [listed(manifest.config)[0]!, listed(manifest.layers)];
  const total = layers.reduce((sum, { size }) => sum + size, 0);
  if (layers.length > most.layers || total > most.packed)
    refuse(`${name} has ${layers.length} layers of ${total} bytes, which is too much here.`);
  const config = await json("The config", `blobs/${first.digest}`, first.digest);
  if (config.architecture !== processor)
    refuse(`${name} is for ${String(config.architecture)}, and this is ${processor}.`);
  const ids = (config.rootfs as { diff_ids?: unknown } | undefined)?.diff_ids;
  if (!Array.isArray(ids) || ids.length !== layers.length)
    refuse(`The config of ${name} does not name its layers.`);

  let done = 0;
  for (const [index, { digest, size }] of layers.entries()) {
    const [what, hash] = [`Layer ${index + 1} of ${name}`, createHash("sha256")];
    const file = openSync(join(place, `${index + 1}.packed`), "w");
    let came = 0;
    try {
      for await (const piece of pieces(await ask(`blobs/${digest}`), size, what)) {
        hash.update(piece);
        writeFileSync(file, piece);
        progress(done + (came += piece.length), total);
      }
    } finally {
      closeSync(file);
    }
    if (came < size) refuse(`${what} is truncated: only ${came} of ${size} bytes came.`);
    if (`sha256:${hash.digest("hex")}` !== digest) isNot(what, digest);
    done += came;
  }
  print(`Pulled: ${layers.length} layers, ${Math.ceil(total / 1e6)} MB.`);
  return ids.map(String);
}

/** At a terminal, says how much has been pulled; bytes. */
function progress(got: number, total: number) {
  if (!process.stdout.isTTY) return;
  const [some, all] = [got, total].map((bytes) => Math.round(bytes / 1e6));
  process.stdout.write(got < total ? `\r${some} of ${all} MB` : "\r\x1b[K");
}

// ── Layers

/** What is in a directory, by name. */
type Tree = Map<string, { type: string; below: Tree }>;

/**
 * Unpacks layers from what they are packed with, to the tars 1, 2 and so on, and looks into these. In
 * 1.hides is what has to go before that one is added.
 *
 * @param ids what their checksums should be
 * @returns what is in all of them together
 */
async function unpackAll(title: string, ids: string[], place: string, shell: Shell) {
  const tree: Tree = new Map();
  const count = { files: 0 };
  const { bavail, bsize } = statfsSync(place);
  // It will be unpacked, packed and pulled again.
  const room = Math.min(most.unpacked, Math.floor((bavail * bsize) / 5));
  let [bytes, listed] = [0, 0];
  for (const [index, id] of ids.entries()) {
    const [number, what] = [index + 1, `Layer ${index + 1} of ${title}`];
    const file = join(place, `${number}`);
    // Its type may be anything, so look at how it begins.
    const { stdout: start } = await shell.aside(`od -A n -N 2 -t x1 from/${number}.packed`);
    const unpacker = { "1f 8b": "gzip -dc", "28 b5": "zstd -dc" }[start.trim()] ?? "cat";
    if (unpacker.startsWith("zstd")) requireTools([], [], ["zstd"]);
    const { stdout } = await shell.aside(
      `cd from; ${unpacker} < ${number}.packed | head --bytes=${room - bytes + 1} > ${number}; rm ${number}.packed; sha256sum ${number}`,
    );
    bytes += statSync(file).size;
    if (bytes > room)
      refuse(`${what} unpacks to more than there is room for here: ${room} bytes in all.`);
    if (`sha256:${stdout.slice(0, 64)}` !== id)
      refuse(`${what} does not unpack to what its config says: ${id}.`);
    const list = await shell.aside(
      `cd from; set -o pipefail; ${listTar} --file ${number} | head --bytes=${most.listing + 1}`,
    );
    listed += list.stdout.length;
    if (listed > most.listing) refuse(`${title} has too many files.`);
    if (!list.ok) refuse(`${what} cannot be read: ${list.stderr.trim().split("\n")[0]}.`);
    const members = parseListing(list.stdout);
    requireContents(what, members, [], []);
    const hides = apply(tree, members, count).map((path) => `${unescaped(path)}\0`);
    const out = members.find(({ type, link = "" }) => type === "h" && leadsOut(link, tree));
    if (out)
      refuse(`${what} holds a hard link to ${out.link}, which leads out of it. Do not trust it.`);
    writeFileSync(`${file}.hides`, hides.join(""), "latin1");
  }
  return everything(tree);
}

/** Whether a hard link to there may be one to elsewhere: by its path, or by a link in that. */
function leadsOut(path: string, tree: Tree): boolean {
  if (/^\/|(^|\/)\.\.(\/|$)/.test(path)) return true;
  let at: Tree | undefined = tree;
  return partsOf(path)
    .slice(0, -1)
    .some((part) => {
      const found: { type: string; below: Tree } | undefined = at?.get(part);
      at = found?.below;
      return found?.type === "l";
    });
}

const partsOf = (path: string) => path.split("/").filter((part) => part !== "" && part !== ".");

/**
 * Adds a layer to those below it.
 *
 * @returns what of those has to be removed first, so that it is hidden, or is in nobody's way: a link
 *   that is now a directory, for one. Whatever is above that in its path is a directory.
 */
export function apply(tree: Tree, members: Member[], count = { files: 0 }): string[] {
  const gone: string[] = [];
  for (const { path } of members) {
    const place = partsOf(path);
    const [, name] = /^\.wh\.(.+)/.exec(place.pop() ?? "") ?? [];
    const below = place.reduce((at: Tree | undefined, part) => at?.get(part)?.below, tree);
    if (!name || !below) continue;
    for (const each of name === ".wh..opq" ? [...below.keys()] : [name])
      if (below.delete(each)) gone.push([...place, each].join("/"));
  }
  for (const { path, type } of members) {
    const parts = partsOf(path);
    if (parts.at(-1)?.startsWith(".wh.")) continue;
    let at = tree;
    for (const [index, part] of parts.entries()) {
      const kind = index < parts.length - 1 ? "d" : type;
      const old = at.get(part);
      const stays = old?.type === "d" && kind === "d";
      if (old && !stays) gone.push(parts.slice(0, index + 1).join("/"));
      if (!stays && ++count.files > most.files) refuse("The layers have too many files.");
      const next = old && stays ? old : { type: kind, below: new Map() as Tree };
      at.set(part, next);
      at = next.below;
    }
  }
  return gone;
}

/** What is in a tree, as far down as programs are. */
const everything = (tree: Tree, path = "", depth = 1): Member[] =>
  [...tree].flatMap(([name, { type, below }]) => [
    { type, path: path + name },
    ...(depth < 4 ? everything(below, `${path}${name}/`, depth + 1) : []),
  ]);

/** A name as it is, from how tar lists it; a character for each byte. */
const unescaped = (name: string) =>
  name.replace(/\\([0-7]{3}|.)/g, (_, code: string) =>
    code.length === 3
      ? String.fromCharCode(parseInt(code, 8))
      : ("\x07\b\f\n\r\t\v"["abfnrtv".indexOf(code)] ?? code),
  );
