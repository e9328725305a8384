/**
 * The picture of the house in lib/README.md is true: what is drawn is there, each arrow is an import, and
 * imports run down.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { file } from "./testing.ts";

const text = readFileSync(file("lib/README.md"), "utf8");
const [, picture = ""] = /^## The house\n+```text\n([^]*?)^```$/m.exec(text) ?? [];
const [, besides = ""] = /Besides these there are ([^]*?)\n\n/.exec(text) ?? [];

/** The files that are drawn, in their order, at their columns. Those to the right are options. */
const drawn = picture.split("\n").flatMap((line) =>
  [...line.matchAll(/[\w-]+\.ts\b/g)]
    .filter(({ 0: name }) => !["name.ts", "05-name.ts"].includes(name) && name !== "verbs.ts")
    .map(({ 0: name, index }) => ({
      name,
      column: index,
      arrow: /[─►]\s*$/.test(line.slice(0, index)),
    })),
);
const house = drawn.filter(({ column }) => column < 40);
const names = house.map(({ name }) => name);

/** What a file of lib imports from it. */
const imports = (name: string) =>
  [...readFileSync(file(`lib/${name}`), "utf8").matchAll(/^import [^;]*? from "\.\/(.*?)"/gm)].map(
    ([, other = ""]) => other,
  );

const tsIn = (directory: string) =>
  readdirSync(file(directory)).filter((name) => name.endsWith(".ts"));

test("the picture of the house has every file", () => {
  const others = [...besides.matchAll(/`([\w-]+\.ts)`/g)].map(([, name = ""]) => name);
  assert.deepEqual([...names, ...others, "verbs.ts"].sort(), tsIn("lib").sort());
  const options = drawn.filter(({ column }) => column >= 40).map(({ name }) => name);
  assert.deepEqual(options.sort(), tsIn("lib/options").sort());
});

test("each of its arrows is an import, and imports run down", () => {
  const arrows = house.flatMap(({ name, column, arrow }, at) => {
    const from = house.slice(0, at).findLast((other) => other.column < column);
    return arrow && from ? [[from.name, name] as const] : [];
  });
  assert.ok(arrows.length > 8);
  for (const [from, to] of arrows) assert.ok(imports(from).includes(to), `${from} ──► ${to}`);
  for (const [at, from] of names.entries())
    for (const to of imports(from))
      assert.ok(
        to === "verbs.ts" || names.indexOf(to) > at,
        `${from} imports ${to}, which is above it`,
      );
});
