import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  awkward,
  cannotRun,
  chapter,
  leavesNothing,
  run,
  temporary,
  testChapter,
} from "./testing.ts";

const path = "chapters/04-overlay.ts";

testChapter(path, {
  shows: [/^ *hello upper$/m, /^ *greetings from base$/m, /^ *upper\/written.txt$/m],
  stops: [
    ["SIGINT", /^ls -lisa fs\/merged/m],
    ["SIGTERM", /^sudo mount .* swapped$/m],
    ["SIGHUP", /^sudo unshare .* --root merged bash$/m],
  ],
});

describe(path, () => {
  for (const [name, character] of Object.entries(awkward))
    test(
      `--yes proves every claim when there is a ${name} in TMPDIR`,
      { skip: cannotRun },
      async () => {
        const tmp = temporary(`a${character}b`);
        const { status, stderr } = await leavesNothing(() => run(chapter(path, "--yes"), { tmp }));
        assert.equal(stderr, "");
        assert.equal(status, 0);
      },
    );
});
