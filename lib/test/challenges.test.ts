/**
 * Every chapter's challenges, solved as their solutions do. In a file of its own, so that it runs beside
 * the chapters.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testStory } from "./story.ts";
import {
  fixture,
  inShort,
  leavesNothing,
  noOwnMounts,
  ownMounts,
  run,
  stories,
  temporary,
  tidy,
  tsx,
} from "./testing.ts";

stories.filter(({ flags }) => flags.length > 0).forEach(testStory);

test("a child whose number is smaller than its parent's is seen", { skip: noOwnMounts }, () =>
  leavesNothing(async () => {
    const directory = temporary();
    const apart = [...ownMounts, "--pid", "--fork", "--mount-proc"];
    const told = await run([...apart, ...tsx(fixture("wrap"), directory)]);
    assert.equal(told.status, 0, inShort(told));
    const pids = JSON.parse(told.stdout) as number[];
    assert.equal(pids.length, 9);
    // They did begin anew.
    assert.ok(Math.max(...pids) - Math.min(...pids) > 9, told.stdout);
    tidy(directory);
  }),
);
