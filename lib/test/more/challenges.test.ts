/**
 * A challenge at a terminal: what the reader sees, and that nothing is left.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  agree,
  atTerminal,
  cannotRun,
  challenged,
  chapter,
  fixture,
  keys,
  leavesNothing,
  noOwnMounts,
  type Reader,
  run,
  temporary,
  toldToItsEnd,
  withoutTool,
} from "../testing.ts";

const path = challenged[0]!;

/** Picks the first challenge, and goes on to the shell. */
async function toShell({ sees, types }: Reader) {
  await sees(/Escape from a chroot.*\n/);
  types(keys.enter);
  await sees(/Leave: exit/);
  await sees(/[#$] $/);
}

/** A shell whose root is rootfs, by pivot_root. */
async function pivot({ sees, types }: Reader) {
  types('sudo() { "$@"; }; [ $UID = 0 ] || unset -f sudo\r');
  await sees(/[#$] $/);
  types("sudo unshare --mount bash --norc\r");
  await sees(/✔ a process has a mount namespace of its own/);
  types("mount --bind rootfs rootfs; cd rootfs; mkdir old; pivot_root . old; cd /\r");
  await sees(/✔ its \/ is a mount/);
}

describe("--challenge at a terminal", { skip: cannotRun }, () => {
  test("ticks off what is met while the reader types, and ends when all is", async () => {
    const { status, output } = await leavesNothing(() =>
      atTerminal(chapter(path, "--challenge"), {}, async (reader) => {
        await toShell(reader);
        await pivot(reader);
        reader.types("mount -t proc proc /proc; umount -l /old\r");
        await reader.sees(/✔ That is all of it/);
        reader.types("exit\r");
        await reader.sees(/exit\n[^]*[#$] $/);
        reader.types("exit\r");
        await reader.sees(/Solved\./);
        await agree(reader, 2);
      }),
    );
    assert.equal(status, 0, output);
  });

  test("says what is missing, gives hints, and then the solution", async () => {
    const { status, output } = await leavesNothing(() =>
      atTerminal(chapter(path, "--challenge"), {}, async (reader) => {
        const { sees, types } = reader;
        await toShell(reader);
        types("exit\r");
        await sees(/Not yet:\n[^]*Stop here/);
        types(keys.down + keys.enter);
        await sees(/begin with unshare --mount[^]*Stop here/);
        types(keys.down + keys.down + keys.enter);
        // Every key draws the choices anew: the next question comes below the answer.
        await sees(/◇ .*\n(.*\n)?.*The solution\n/);
        await agree(reader, 1);
        await sees(/Solved\./);
        await agree(reader, 2);
      }),
    );
    assert.equal(status, 0, output);
  });

  const container = challenged.find((each) => /11-container/.test(each));
  const skip = noOwnMounts || (!container && "chapter 11 is left out");
  test("stands in no other's way where it cannot be told", { skip }, async () => {
    const without = withoutTool("podman", chapter(container!, "--challenge"));
    const pickAfter = (typed: string, then: (reader: Reader) => Promise<unknown>) =>
      leavesNothing(() =>
        atTerminal(without, {}, async (reader) => {
          await reader.sees(/Be Podman's runtime.*\n/);
          reader.types(typed + keys.enter);
          await then(reader);
        }),
      );
    const begun = await pickAfter("", async ({ sees, types }) => {
      await sees(/^Challenge: Teach your script/m);
      types(keys.ctrlC);
    });
    assert.equal(begun.status, 130, begun.output);
    const why = /podman is missing\.|Podman is not in reach/;
    const { status, output } = await pickAfter(keys.up, ({ sees }) => sees(why));
    assert.equal(status, 2, output);
  });

  test("is offered at the end of a walk, and taken if the reader likes", async () => {
    const { status, output } = await leavesNothing(() =>
      atTerminal(chapter(challenged[1]!), {}, async (reader) => {
        const { sees, types } = reader;
        while ((await sees(/(Stop here|Not now)\n/)).startsWith("Stop")) types(keys.enter);
        types(keys.up + keys.enter);
        await sees(/Leave: exit/);
        await sees(/[#$] $/);
        types("exit\r");
        await sees(/Not yet:\n[^]*Stop here/);
        types(keys.up + keys.enter);
      }),
    );
    assert.match(output, /^Told to the end/m);
    assert.equal(status, 130);
  });

  for (const [way, expected] of [
    ["SIGTERM", 143],
    ["SIGKILL", 137],
  ] as const)
    test(`leaves nothing at ${way}, while the reader is in a root by pivot_root`, () =>
      leavesNothing(async () => {
        const tmp = temporary();
        const { status } = await atTerminal(
          chapter(path, "--challenge"),
          { tmp },
          async (reader) => {
            await toShell(reader);
            await pivot(reader);
            process.kill(reader.pid, way);
          },
        );
        assert.equal(status, expected);
        // What was killed is cleared by the next start.
        if (way === "SIGKILL") {
          toldToItsEnd(await run(chapter(fixture("walk"), "--yes"), { tmp }));
        }
      }));
});
