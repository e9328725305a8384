/**
 * The README's sections have what their lines print, and those can be pasted into a terminal.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  blocksOf,
  chapters,
  command,
  comparable,
  cutAs,
  inVm,
  notComparable,
  readSections,
  sectionOf,
  steady,
  type Block,
} from "../../dev/readme.ts";
import { unnoticed } from "../mutants.ts";
import {
  atTerminal,
  cannotRun,
  chapter,
  leavesNothing,
  missingTools,
  notRoot,
  run,
  toldToItsEnd,
  whyNots,
} from "../testing.ts";

const sections = readSections();

const printsTheSame = (section: string, told: string) =>
  assert.deepEqual(comparable(blocksOf(section)), comparable(cutAs(section, told)));

const why = await whyNots();
for (const [name, path] of chapters) {
  const notWanted = !why.has(path) && "is not among BY_HAND_CHAPTERS";
  const notTold = notWanted || why.get(path);
  describe(`README: ${name}`, () => {
    const section = sections.get(name) ?? "";

    const skip = inVm.has(name)
      ? notWanted || notRoot || missingTools("linux.uml")
      : notTold || notComparable();
    test("has what its lines print, or run: npm run readme", { skip }, async () => {
      const how = inVm.has(name) ? command(name) : chapter(path, "--markdown");
      const { stdout } = toldToItsEnd(await leavesNothing(() => run(how, { timeout: 600_000 })));
      const told = await sectionOf(name, stdout);
      printsTheSame(section, told);
      const printed = section.replace(/^```sh\n[^]*?^```$/gm, "");
      const missed = unnoticed(section, (mutant) => printsTheSame(mutant, told));
      assert.deepEqual(
        missed.filter(([line, mutant]) => !mayDiffer(line, mutant, printed)),
        [],
      );
    });

    test("can be pasted into a terminal", { skip: notTold || notRoot }, async () => {
      const complaints = await leavesNothing(() => paste(blocksOf(section)));
      assert.deepEqual(complaints, []);
    });
  });
}

/** Whether two lines of output differ in what may be another in the next run. */
function mayDiffer(line: string, other: string, text: string): boolean {
  if (steady(line) === steady(other)) return true;
  // A number that stands nowhere else, such as a pid, or a checksum.
  const [number = ""] = line.match(/([0-9a-f]{20,}|\d{3,})(?=\D*$)/) ?? [];
  const once = text.match(RegExp(`\\b${number}\\b`, "g"))?.length === 1;
  return (
    number !== "" && once && line.replace(/\d+(?=\D*$)/, "") === other.replace(/\d+(?=\D*$)/, "")
  );
}

// ── Pasting

const complaint =
  /denied|not permitted|no such|not found|syntax error|cannot|can't|failed|\berror[: ]|refused|invalid|usage:|^Try '/i;

/** In a list of processes: what anybody runs. */
const listed = /^ *\d+ .* \d+:\d\d \S/;

/** The prompt of the first shell, of one in another root, and of one in this one, at the screen's end. */
const prompt = /^(paste\$|bash-[\d.]+[$#]|\S+@\S+[$#]) (?![^])/m;

/**
 * Pastes lines of shell, block by block.
 *
 * @returns what they complain about, unless that stands below them as their output
 */
async function paste(blocks: Block[]): Promise<string[]> {
  const complaints: string[] = [];
  let meant: string[] = [];
  const env = { PS1: "paste$ ", HISTFILE: "" };
  await atTerminal(["bash", "--norc", "--noprofile", "-i"], { env }, async ({ sees, types }) => {
    await sees(prompt);
    types('command -v sudo >/dev/null || sudo() { "$@"; }\r');
    await sees(prompt);
    for (const [at, { kind, inside, lines }] of blocks.entries()) {
      if (kind !== "sh") continue;
      if (!inside) meant = complaintsBelow(blocks, at);
      // Bracketed paste: what a terminal sends for the paste key.
      types(`\x1b[200~${lines.join("\n")}\x1b[201~\r`);
      const printed = await sees(new RegExp(`[^]*?${prompt.source}`, "m"));
      for (const line of printed.split(/[\r\n]+/))
        if (
          complaint.test(line) &&
          !listed.test(line) &&
          // What is pasted is on the screen, too, and a long line in pieces.
          !lines.some((pasted) =>
            pasted.includes(line.replace(/^(> |paste\$ )|[\x00-\x1f]/g, "").trim()),
          ) &&
          !meant.some((words) => line.includes(words))
        )
          complaints.push(`${lines.join("; ")}: ${line}`);
    }
    types("exit\r");
  });
  return complaints;
}

/** What a line and those typed in its shell complain about: the first words, without who says it. */
function complaintsBelow(blocks: Block[], at: number): string[] {
  const after = blocks.slice(at + 1);
  const next = after.findIndex(({ kind, inside }) => kind === "sh" && !inside);
  return after
    .slice(0, next < 0 ? undefined : next)
    .filter(({ kind }) => kind === "console")
    .flatMap(({ lines }) => lines.filter((line) => complaint.test(line)))
    .map((line) => line.replace(/^[\w-]+: /, "").slice(0, 20));
}

describe("README: a test that pastes", () => {
  const block = (kind: Block["kind"], line: string) => ({ kind, inside: false, lines: [line] });

  test("notices what a line complains about", { skip: cannotRun || notRoot }, async () => {
    const failing = [
      "no-such-command",
      "cat /no/such/file",
      "mkdir /proc/mine",
      "echo )",
      "ls --none",
    ];
    const complaints = await paste(
      ["echo all is well", ...failing].map((line) => block("sh", line)),
    );
    for (const line of failing)
      assert.ok(
        complaints.some((each) => each.startsWith(line)),
        line,
      );
    assert.ok(!complaints.some((each) => each.startsWith("echo all")));
  });

  test(
    "takes the complaints that stand in the README",
    { skip: cannotRun || notRoot },
    async () => {
      const output = "cat: /no/such/file: No such file or directory";
      const blocks = [block("sh", "cat /no/such/file"), block("console", output)];
      assert.deepEqual(await paste(blocks), []);
      assert.equal((await paste([...blocks, block("sh", "cat /no/such/file")])).length, 1);
    },
  );
});
