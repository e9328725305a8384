/**
 * The README is half of the product: its sections are what the chapters tell, and its links lead
 * somewhere. And these tests would notice if that were not so. (What its lines print, and whether
 * they can be pasted, is asked in more/readme.test.ts.)
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
  blocksOf,
  chapters,
  comparable,
  contents,
  readSections,
  sectionOf,
  skeleton,
} from "../dev/readme.ts";
import { unnoticed } from "./mutants.ts";
import {
  chapter,
  file,
  missingTools,
  run,
  shellcheckExclusions,
  succeeds,
  toldToItsEnd,
} from "./testing.ts";

const readme = readFileSync(file("README.md"), "utf8");
const sections = readSections();

for (const [name, path] of chapters)
  test(`${name}'s section says what the chapter says, or run: npm run readme`, async () => {
    const section = sections.get(name) ?? "";
    const { stdout } = toldToItsEnd(await run(chapter(path, "--markdown", "--print")));
    const told = await sectionOf(name, stdout);
    const saysTheSame = (section: string) =>
      assert.deepEqual(skeleton(section, told), skeleton(told, told));
    saysTheSame(section);
    const said = new Set(told.split("\n"));
    const missed = unnoticed(section, saysTheSame);
    // Others are output.
    assert.deepEqual(
      missed.filter(([line]) => said.has(line.replace(/\\$/, ""))),
      [],
    );
  });

/** What an SVG has for `&`, `<` and `>`. */
const unescaped = (text: string) =>
  text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)));

describe("README", () => {
  test("has the chapters that there are, and their table of contents", () => {
    assert.deepEqual([...sections.keys()], [...chapters.keys()]);
    const [, table = ""] = /^<!-- contents -->\n([^]*?)^<!-- \/contents -->$/m.exec(readme) ?? [];
    assert.deepEqual(comparable(blocksOf(table)), comparable(blocksOf(contents())));
  });

  const skip = missingTools("shellcheck");
  test("has only lines that shellcheck approves of", { skip }, async () => {
    const lines = blocksOf(readme)
      .filter(({ kind }) => kind === "sh")
      .flatMap(({ lines }) => lines.filter((line) => line !== "exit"));
    assert.ok(lines.length > 50);
    // SC1091: /etc/os-release is another on each machine.
    const exclude = `--exclude=${shellcheckExclusions},SC1091`;
    const input = lines.join("\n");
    const { status, stdout } = await run(["shellcheck", "--shell=bash", exclude, "-"], { input });
    assert.equal(status, 0, stdout);
  });

  test("has a picture that moves, of the chapter as it is", async () => {
    const [, path = ""] = /^!\[[^\]]*\]\((\S+\.svg)\)$/m.exec(readme) ?? [];
    const picture = readFileSync(file(path), "utf8");
    assert.ok(picture.length < 300_000);
    assert.doesNotMatch(picture, /<script|\bhref\b|@import|url\(/);
    assert.ok(picture.match(/@keyframes/g)!.length > 5);
    const { stdout } = await run(chapter("02", "--print"));
    const text = picture.replace(/<[^>]*>/g, "").replaceAll("\u00a0", " ");
    const shown = text.match(/^sudo .*/gm)!.map((line) => unescaped(line));
    assert.ok(shown.length > 3);
    for (const line of shown) assert.ok(stdout.includes(`\n${line}`), line);
  });

  for (const path of ["README.md", "lib/README.md"])
    test(`has no link in ${path} that leads nowhere`, () => {
      const text = readFileSync(file(path), "utf8");
      const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
        heading
          .toLowerCase()
          .replace(/[^\p{L}\p{N}\s_-]/gu, "")
          .replaceAll(" ", "-"),
      );
      const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
      const directory = path.replace(/[^/]*$/, "");
      const broken = links.filter((link) =>
        link.startsWith("#")
          ? !headings.includes(link.slice(1))
          : !/^https:/.test(link) && !existsSync(file(directory + link)),
      );
      assert.deepEqual(broken, []);
      assert.ok(links.length > 1);
    });

  const noManual = !succeeds("man", "-w", "namespaces") && "no man pages here";
  test("names man pages that exist", { skip: noManual }, () => {
    const pages = new Set(readme.match(/(?<=\[)[\w.]+\(\d\)(?=\])/g));
    assert.ok(pages.size > 5);
    const unknown = [...pages].filter((page) => {
      const [, name = "", section = ""] = /(.*)\((\d)\)/.exec(page)!;
      // Debian has the programs that are root's in section 8.
      return ![section, "8"].some((each) => succeeds("man", "-w", each, name));
    });
    assert.deepEqual(unknown, []);
  });

  test("explains only what the library says", () => {
    const library = ["lib", "lib/options", "lib/tries"].flatMap((directory) =>
      readdirSync(file(directory))
        .filter((name) => name.endsWith(".ts"))
        .map((name) => readFileSync(file(`${directory}/${name}`), "utf8")),
    );
    const [, list = ""] = readme.split(/^## (?:When it says no|Nothing is left behind)$/m);
    // What it says stands before a colon.
    const heads = [...list.matchAll(/^- ([^]*?):\s/gm)].map(([, head = ""]) => head);
    const said = heads
      .flatMap((head) => [...head.matchAll(/`(.*?)`/gs)])
      .flatMap(([, words = ""]) => words.replace(/\s+/g, " ").split("…"))
      .map((words) => words.trim());
    const unknown = said.filter((words) => !library.some((text) => text.includes(words)));
    assert.deepEqual(unknown, []);
    assert.ok(said.length > 20);
  });
});
