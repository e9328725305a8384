/**
 * What a story is told on: a screen, or a bash script. (Markdown is in dev/markdown.ts.)
 */
import { stripVTControlCharacters } from "node:util";
import { wrapAnsi } from "fast-wrap-ansi";
import { bold, cyan, dim, green, magenta, red } from "kleur/colors";
import type { Header } from "./header.ts";
import { forScreen, forScript } from "./prose.ts";
import { columns, harmless, print, readable, wrap } from "./screen.ts";

export interface Page {
  /** The title, the opening and the figure; and how many headings there will be. */
  begin(header: Header, parts: number): void;
  prose(text: string): void;
  heading(text: string): void;
  /** A line of shell. If it `opens` a shell, what is typed there follows, up to {@link closed}. */
  line(line: string, opens: boolean): void;
  /** What that line has printed. */
  output(text: string): void;
  /** A line typed in the shell, and what it printed; undefined if the shell had ended before. */
  typed(line: string, printed?: string): void;
  closed(): void;
  /** @param readings what proves it, by where it was read; none if nothing was read */
  claim(text: string, holds: boolean, readings: [where: string, value: string][]): void;
  table(rows: string[][]): void;
  /** The man pages, and the chapter that comes next. */
  end(header: Header, next?: Header): void;
}

/** What was printed, as lines that fit in `width` columns; those beyond the first `most` are left out. */
export function cut(text: string, width: number, most: number) {
  const lines = text.trimEnd().split("\n").map(harmless);
  const left = lines.length > most + 1 ? lines.length - most : 0;
  const clip = (line: string) => (line.length > width ? `${line.slice(0, width - 1)}…` : line);
  return { lines: lines.slice(0, lines.length - left).map(clip), left };
}

/** A table as lines of so many columns; where it is wider, its widest cells take several. */
function inColumns(rows: string[][], width: number, style: (cell: string) => string): string[] {
  const styled = rows.map((row) => row.map(style));
  const length = (cell: string) => stripVTControlCharacters(cell).length;
  const widths = styled[0]!.map((_, column) =>
    Math.max(...styled.map((row) => length(row[column]!))),
  );
  const total = () => widths.reduce((sum, each) => sum + each + 2, -2);
  while (total() > width && Math.max(...widths) > 12)
    widths[widths.lastIndexOf(Math.max(...widths))]!--;
  return styled.flatMap((row) => {
    const cells = row.map((cell, column) => wrapAnsi(cell, widths[column]!).split("\n"));
    const height = Math.max(...cells.map((lines) => lines.length));
    return Array.from({ length: height }, (_, line) => {
      const texts = cells.map((lines) => lines[line] ?? "");
      return texts
        .map((text, column) => text + " ".repeat(Math.max(0, widths[column]! + 2 - length(text))))
        .join("")
        .trimEnd();
    });
  });
}

/** The reader's terminal. */
export function screen(): Page {
  let [part, parts] = [0, 0];
  /** Inside of a shell a bar, so that nobody takes that for the host. */
  const bar = magenta("│");
  const [outside, inside] = ["  ", `${bar} `];
  let margin = outside;

  const prose = (text: string) => print("\n" + wrap(forScreen(text)));

  function output(text: string) {
    if (text.trim() === "") return;
    const { lines, left } = cut(text, columns() - 2, 12);
    lines.forEach((line) => print(margin + line));
    if (left > 0) print(margin + dim(`… and ${left} more lines, not shown here`));
  }

  return {
    begin({ title, opening, figure }, all) {
      [part, parts] = [0, all];
      print(bold(title));
      opening.forEach(prose);
      if (figure) print("\n" + figure.replace(/^(?=.)/gm, "  "));
    },
    prose,
    heading: (text) => print("\n" + bold(`── ${text}`) + dim(`  ${++part} of ${parts}`)),
    line: (line) => print("\n" + bold(cyan(line))),
    output,
    typed(line, printed) {
      if (printed === undefined) return;
      print(margin === outside ? magenta("┌ inside") : bar);
      margin = inside;
      print(bold(magenta(line)));
      output(printed);
    },
    closed() {
      if (margin === inside) print(magenta("└ back outside"));
      margin = outside;
    },
    claim(text, holds, readings) {
      print("\n" + wrap(`${holds ? green("✔") : red("✘")} ${forScreen(text)}`));
      const widest = Math.max(...readings.map(([where]) => where.length));
      for (const [where, value] of readings)
        output(`  ${where.padEnd(widest)}  ${value || "(nothing)"}`);
    },
    table(rows) {
      const [head = "", ...body] = inColumns(rows, Math.min(columns(), readable) - 2, forScreen);
      print("\n" + dim(`  ${head}`));
      body.forEach((line) => print(`  ${line}`));
    },
    end({ see }, next) {
      prose(`**Man pages:** ${see}.`);
      if (!next) return;
      prose(`**Next:** ${next.title}`);
      print(bold(cyan(next.run)));
    },
  };
}

/** A bash script that does the same without us. */
export function script() {
  let parts = 0;
  const [text, lines]: [string[], string[]] = [[], []];
  const comment = (all: string[]) => text.push("", ...all.map((line) => `# ${line}`.trimEnd()));
  const prose = (words: string) => comment(wrapAnsi(forScript(words), 76).split("\n"));

  const page: Page = {
    begin({ opening, figure }) {
      parts = 0;
      opening.forEach(prose);
      if (figure) comment(figure.split("\n"));
    },
    prose,
    heading(words) {
      parts++;
      prose(`── ${words}`);
    },
    line(line, opens) {
      lines.push(line);
      text.push("", opens ? `${line} <<'INSIDE'` : line);
    },
    output() {},
    typed(line) {
      lines.push(line);
      text.push(line);
    },
    closed: () => void text.push("INSIDE"),
    claim: (words) => prose(`✔ ${words}`),
    // What is to be read is not known here.
    table(rows) {
      const known = rows.every((row) => !row.includes("-"));
      comment(inColumns(known ? rows : rows.slice(0, 1), 76, forScript));
    },
    end({ see }, next) {
      prose(`**Man pages:** ${see}.`);
      if (next) prose(`**Next:** ${next.title}: '${next.run}'`);
    },
  };
  return {
    page,
    /** The script, a line each. */
    text,
    /** Its lines of shell alone. */
    lines,
    /** How many headings there were since it began. */
    parts: () => parts,
  };
}
