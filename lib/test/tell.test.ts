import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ProcessOutput } from "zx/core";
import type { Page } from "../pages.ts";
import { type Doer, isPrivileged, nobody, tellOn } from "../tell.ts";
import type { Reading } from "../verbs.ts";

/** A page that notes what it is told, and a doer for whom every line prints the same. */
function teller(printed = "", exitCode = 0) {
  const told: unknown[][] = [];
  const page = new Proxy({} as Page, {
    get:
      (_, name) =>
      (...words: unknown[]) =>
        void told.push([name, ...words]),
  });
  const judged: boolean[] = [];
  const doer: Doer = {
    async pause() {
      told.push(["pause"]);
    },
    async agree(line, options, typed) {
      told.push(["agree", line, options, ...(typed ? [typed] : [])]);
    },
    run: async () => new ProcessOutput(exitCode, null, printed, "", printed),
    judge: (_, holds) => void judged.push(holds),
  };
  return { told, judged, page, verbs: tellOn(page, doer) };
}

describe("same() and differ()", () => {
  const output = (text: string) => new ProcessOutput(0, null, text, "");
  for (const [what, relation, holds, ...readings] of [
    ["equal readings are the same", "same", true, "a", "a", "a"],
    ["lists in another order are the same", "same", true, ["a", "b"], ["b", "a"]],
    ["a line break at the end is no difference", "same", true, "a", output("a\n")],
    ["unequal readings differ", "differ", true, "a", "b", "c"],
    ["unequal readings are not the same", "same", false, "a", "a", "b"],
    ["a longer list is not the same", "same", false, ["a"], ["a", "b"]],
    ["equal readings do not differ", "differ", false, "a", "a"],
    ["two of three do not differ", "differ", false, "a", "b", "a"],
    ["nothing is not the same as nothing", "same", false, "", ""],
    ["blank is nothing", "same", false, " \n", " \n"],
    ["what is undefined is nothing", "same", false, undefined, undefined],
    ["an empty list is nothing", "same", false, [], []],
    ["a list with something missing is nothing", "same", false, ["a", undefined], ["a", ""]],
    ["something does not differ from nothing", "differ", false, "a", ""],
    ["one reading is not the same as itself", "same", false, "a"],
    ["one reading does not differ", "differ", false, "a"],
    ["no readings prove nothing", "same", false],
  ] as [string, "same" | "differ", boolean, ...Reading[]][])
    test(what, () => {
      const { verbs, judged } = teller();
      verbs[relation]("a claim", Object.fromEntries(Object.entries(readings)));
      assert.deepEqual(judged, [holds]);
    });

  test("show what was read, and where; a list in the order of its numbers", () => {
    const { verbs, told } = teller();
    verbs.same("a claim", { here: ["10", "9"], there: "9, 10\n" });
    assert.deepEqual(told, [
      [
        "claim",
        "a claim",
        true,
        [
          ["here", "9, 10"],
          ["there", "9, 10"],
        ],
      ],
    ]);
  });

  test("show no readings if nothing is run", () => {
    const { page, told } = teller();
    tellOn(page, nobody).differ("a claim", { here: "", there: "" });
    assert.deepEqual(told, [["claim", "a claim", false, []]]);
  });
});

test("say`` folds white space", () => {
  const { verbs, told } = teller();
  verbs.say`one
    two ${"three"} · \n`;
  assert.deepEqual(told, [["prose", "one two three ·"]]);
});

test("part`` waits for the reader, then is a heading", async () => {
  const { verbs, told } = teller();
  await verbs.part`A part`;
  assert.deepEqual(told, [["pause"], ["heading", "A part"]]);
});

test("$`` shows a line as it stands, has it agreed to, runs it, and shows what it printed", async () => {
  const { verbs, told } = teller("out\n");
  const { stdout } = await verbs.$`printf "%s\n" ${"x"}`;
  assert.equal(stdout, "out\n");
  const line = String.raw`printf "%s\n" x`;
  assert.deepEqual(told, [
    ["line", line, false],
    ["agree", line, {}],
    ["output", "out\n"],
  ]);
});

test("$`` takes a line that goes on below, without the indentation of the source, and \\${", async () => {
  const { verbs, told } = teller();
  await verbs.$`cat > it <<'END'
    one \${TWO}
      three\n
    END`;
  assert.deepEqual(told[0], [
    "line",
    ["cat > it <<'END'", "one ${TWO}", String.raw`  three\n`, "END"].join("\n"),
    false,
  ]);
});

test("$`` throws what a line ended with if it fails, unless that is meant", async () => {
  const { verbs, told } = teller("why\n", 3);
  await assert.rejects(verbs.$`false`, { exitCode: 3 });
  assert.deepEqual(told.at(-1), ["output", "why\n"]);
  assert.equal((await verbs.$({ nothrow: true })`false`).exitCode, 3);
});

test("$`` and enter`` refuse a line with sudo that does not say what it changes", () => {
  const { verbs, told } = teller();
  assert.throws(() => verbs.$`cd /; sudo true`, /does not say what it changes: cd \/; sudo true/);
  assert.throws(() => verbs.enter`sudo bash\nls`, /does not say what it changes/);
  assert.deepEqual(told, []);
});

describe("enter``", () => {
  const block = (verbs: ReturnType<typeof tellOn>, options = {}) => verbs.enter(options)`
    bash
    ls
    hostname x; hostname
    ls
  `;

  test("types an exit of its own, and gives what each line printed by its text", async () => {
    const { verbs, told } = teller("hello\nls\na\nb\nhostname x; hostname\nx\nls\nexit\n");
    const session = await block(verbs);
    assert.deepEqual(
      [session("ls"), session("ls", 2), session("hostname x; hostname")],
      ["a\nb", "", "x"],
    );
    assert.deepEqual(told, [
      ["line", "bash", true],
      ["agree", "bash", {}, ["ls", "hostname x; hostname", "ls", "exit"]],
      ["output", "hello"],
      ["typed", "ls", "a\nb"],
      ["typed", "hostname x; hostname", "x"],
      ["typed", "ls", ""],
      ["typed", "exit", ""],
      ["closed"],
    ]);
  });

  test("throws for a line that was not typed, or not as often", async () => {
    const session = await block(teller().verbs);
    assert.throws(() => session("ps"), /not typed 1 times: ps/);
    assert.throws(() => session("ls", 3), /not typed 3 times: ls/);
  });

  test("shows no line that was typed after the shell had ended, and reads it as empty", async () => {
    const { verbs, told } = teller("ls\nCannot\n", 1);
    await assert.rejects(block(verbs), { exitCode: 1 });
    const session = await block(verbs, { nothrow: true });
    assert.deepEqual([session("ls"), session("ls", 2)], ["Cannot\n", ""]);
    assert.deepEqual(
      told.filter(([what, , printed]) => what === "typed" && printed !== undefined),
      [
        ["typed", "ls", "Cannot\n"],
        ["typed", "ls", "Cannot\n"],
      ],
    );
  });
});

test("isPrivileged() knows sudo wherever it stands, as a word", () => {
  for (const line of ["sudo ls", "cd ..; grep x y || sudo rm z"]) assert.ok(isPrivileged(line));
  for (const line of ["ls", "pseudo x", "sudoers"]) assert.ok(!isPrivileged(line));
});
