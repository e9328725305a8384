/**
 * A page of Markdown, for the README.
 */
import { hostname } from "node:os";
import { commandLine, stat } from "../kernel.ts";
import { cut, type Page } from "../pages.ts";
import { forMarkdown } from "../prose.ts";

/** Columns, as wide as the README's prose. */
const width = 86;

const fence = (kind: string, text: string[]) => ["```" + kind, ...text, "```"].join("\n");

/** What was printed, on a machine with the usual names: its own, and that of its process 1. */
function anonymous(printed: string): string {
  const word = new RegExp(`(?<![\\w.-])${literally(hostname())}(?![\\w-])`, "g");
  const text = printed.replace(word, "vm");
  // Process 1 of a container may be a bash, as it is in the chapters'.
  if (stat(2)?.name !== "kthreadd") return text;
  const init = new RegExp(`(?<=^| )${literally(commandLine(1))}$`, "gm");
  const name = new RegExp(`^${literally(stat(1)!.name)}$`, "gm");
  return text.replace(init, "/sbin/init").replace(name, "systemd");
}

/** A text, as a pattern that matches it. */
const literally = (text: string) => text.replace(/[^\w\s]/g, "\\$&");

/** @returns a page, which can say what is on it */
export function markdown(): Page & { text(): string } {
  const blocks: string[] = [];
  /** Lines of shell that have printed nothing yet: they share a block with the next one. */
  let lines: string[] = [];
  /** The blocks of a shell that is open. They become a quotation, which has a bar at its left. */
  let quoted: string[] | undefined;
  /** Of that shell: whether a line was run in it, and whether one no more. */
  let [ran, ended] = [false, false];

  function push(...added: string[]) {
    (quoted ?? blocks).push(...(lines.length > 0 ? [fence("sh", lines)] : []), ...added);
    lines = [];
  }

  const page = {
    begin({ title, opening, figure, run }) {
      push(`## ${title}`, ...opening.map(forMarkdown));
      if (figure) push(fence("text", [figure]));
      push(`Run it with \`${run}\`, or paste the lines below.`);
    },
    prose: (text) => push(forMarkdown(text)),
    heading: (text) => push(`### ${text}`),
    line(line, opens) {
      lines.push(line);
      if (opens) push();
    },
    output(text) {
      if (text.trim() === "") return;
      push(fence("console", cut(anonymous(text), width, Infinity).lines));
    },
    typed(line, printed) {
      quoted ??= [];
      if (printed === undefined) ended = ran;
      else ran = true;
      lines.push(line);
      page.output(printed ?? "");
    },
    closed() {
      push();
      const session = (quoted ?? []).join("\n\n").replace(/^/gm, "> ");
      const how =
        "(When this was recorded, the shell ended by itself. Yours waits for your `exit`.)";
      quoted = undefined;
      push(session, ...(ended ? [how] : []));
      ran = ended = false;
    },
    claim(text, _, readings) {
      const read = readings.map(
        ([where, value]) => `${forMarkdown(where)}: \`${few(anonymous(value))}\``,
      );
      // A backslash is a line break.
      push(
        [`✔ **${forMarkdown(text)}**`, ...(read.length > 0 ? [read.join(" · ")] : [])].join("\\\n"),
      );
    },
    table(rows) {
      const cell = (text: string) => forMarkdown(text).replaceAll("|", "\\|");
      const [head = "", ...body] = rows.map((row) => `| ${row.map(cell).join(" | ")} |`);
      push([head, head.replace(/[^|]+/g, " --- "), ...body].join("\n"));
    },
    end: ({ see }) => push(forMarkdown(`**Man pages:** ${see}.`)),
    text: () => blocks.join("\n\n"),
  } satisfies Page & { text(): string };
  return page;
}

/** The first of a long list. */
function few(value: string): string {
  const things = value.split(", ");
  return things.length > 5 ? [...things.slice(0, 3), "…"].join(", ") : value;
}
