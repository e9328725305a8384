/**
 * A page of Markdown, for the README.
 */
import { hostname } from "node:os";
import { cut, type Page } from "../pages.ts";
import { forMarkdown } from "../prose.ts";

/** Columns, as wide as the README's prose. */
const width = 86;

/** @returns a page, which can say what is on it */
export function markdown(): Page & { text(): string } {
  const blocks: string[] = [];
  /** Lines of shell that have printed nothing yet: they share a block with the next one. */
  let lines: string[] = [];
  /** The blocks of a shell that is open. They become a quotation, which has a bar at its left. */
  let quoted: string[] | undefined;
  let ended = false;

  const fence = (kind: string, text: string[]) => ["```" + kind, ...text, "```"].join("\n");
  /** What was printed, on a machine that is called vm. */
  const ours = new RegExp(`\\b${hostname()}\\b`, "g");
  const anonymous = (printed: string) => printed.replace(ours, "vm");

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
      const { lines: printed, left } = cut(anonymous(text), width, 12, 5);
      push(fence("console", left > 0 ? [...printed, "…"] : printed));
    },
    typed(line, printed) {
      quoted ??= [];
      ended = printed === undefined;
      lines.push(line);
      page.output(printed ?? "");
    },
    closed() {
      push();
      const session = (quoted ?? []).join("\n\n").replace(/^/gm, "> ");
      quoted = undefined;
      push(session);
      if (ended) push("(Here the shell ended by itself. At a terminal it waits for your `exit`.)");
    },
    claim(text, _, readings) {
      const read = readings.map(
        ([where, value]) => `${forMarkdown(where)}: \`${anonymous(value)}\``,
      );
      push(`✔ **${forMarkdown(text)}**${read.length > 0 ? ` (${read.join(", ")})` : ""}`);
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
