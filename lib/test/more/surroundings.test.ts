/**
 * Every chapter where a path is awkward, or where programs speak another language.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { basename } from "node:path";
import { describe, test } from "node:test";
import {
  cannotRun,
  chapter,
  chapters,
  fixture,
  leavesNothing,
  run,
  temporary,
  toldToItsEnd,
  whyNots,
} from "../testing.ts";

// Before there is a test: while it is awaited, those that there are would run, and end.
const why = await whyNots();

/** What is awkward in the name of a directory. */
const awkward = { blank: " ", quote: "'", colon: ":", comma: ",", newline: "\n" };

const german = { LANG: "C.UTF-8", LANGUAGE: "de" };
const { stderr } = spawnSync("ls", ["/no/such/file"], {
  env: { PATH: process.env.PATH, ...german },
  encoding: "utf8",
});
/** Where this machine has no translations, the variables alone are German. */
const alsoGerman = /No such file/.test(stderr) ? "" : ", and programs speak German";

for (const path of chapters)
  describe(`${basename(path)} --yes`, { skip: why.get(path) }, () => {
    test(`is told to its end when TMPDIR is awkward${alsoGerman}`, async () => {
      const tmp = temporary(Object.values(awkward).join("x"));
      const told = await leavesNothing(() => run(chapter(path, "--yes"), { tmp, env: german }));
      assert.match(toldToItsEnd(told).stdout, /^✔ /m);
    });
  });

for (const [name, character] of Object.entries(awkward))
  test(`an overlay is mounted when there is a ${name} in TMPDIR`, { skip: cannotRun }, async () => {
    const tmp = temporary(`a${character}b`);
    const command = chapter(fixture("layers"), "--yes");
    toldToItsEnd(await leavesNothing(() => run(command, { tmp })));
  });
