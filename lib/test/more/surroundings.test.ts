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
const noGerman = /No such file/.test(stderr) && "no translations on this machine";

for (const path of chapters)
  describe(`${basename(path)} --yes`, { skip: why.get(path) }, () => {
    test("is told to its end when TMPDIR is awkward", async () => {
      const tmp = temporary(Object.values(awkward).join("x"));
      toldToItsEnd(await leavesNothing(() => run(chapter(path, "--yes"), { tmp })));
    });

    test("is told to its end when programs speak German", { skip: noGerman }, async () => {
      const command = chapter(path, "--yes");
      const { stdout } = toldToItsEnd(await leavesNothing(() => run(command, { env: german })));
      assert.match(stdout, /^✔ /m);
    });
  });

for (const [name, character] of Object.entries(awkward))
  test(`an overlay is mounted when there is a ${name} in TMPDIR`, { skip: cannotRun }, async () => {
    const tmp = temporary(`a${character}b`);
    const command = chapter(fixture("layers"), "--yes");
    toldToItsEnd(await leavesNothing(() => run(command, { tmp })));
  });
