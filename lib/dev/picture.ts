/**
 * Draws the picture in the README: the screen of a real walk through chapter 2,
 * as an SVG. Every question is answered with Enter, until the table is on the screen.
 *
 * @run npm run picture
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { spawn } from "@lydell/node-pty";
import xterm from "@xterm/headless";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

const size = { cols: 92, rows: 100 };
/** What the picture begins with, and what comes after its end. */
const [first, beyond] = ["sudo unshare --mount", "private are the ones"];
/** A character's width and a line's height, and the margin around all; pixels. */
const [width, height, margin] = [8.43, 19, 16];
const [foreground, background] = ["#d8dee9", "#2e3440"];
/** The terminal's colours, by their number. */
const colours = [
  ...["#4c566a", "#bf616a", "#a3be8c", "#ebcb8b"],
  ...["#81a1c1", "#b48ead", "#88c0d0", "#eceff4"],
];

const terminal = new xterm.Terminal({ ...size, allowProposedApi: true });
const chapter = spawn(process.execPath, [...process.execArgv, path("chapters/02-unshare.ts")], {
  ...size,
  cwd: path("."),
  env: { ...process.env, TERM: "xterm-256color" },
});

let question = "";
chapter.onData((text) => {
  question += text;
  terminal.write(text, () => {
    if (!question.includes("Stop here")) return;
    question = "";
    if (find(beyond) < 0) return chapter.write("\r");
    mkdirSync(path(".github"), { recursive: true });
    writeFileSync(path(".github/walk.svg"), drawing());
    chapter.write("\x03");
  });
});

const line = (row: number) =>
  terminal.buffer.active.getLine(terminal.buffer.active.viewportY + row)!;

/** The row in which a text stands, or -1. */
function find(text: string): number {
  const rows = Array.from({ length: size.rows }, (_, row) => row);
  return rows.findIndex((row) => line(row).translateToString().includes(text));
}

function drawing(): string {
  const [start, end] = [find(first), find(beyond) - 1];
  const texts = Array.from(
    { length: end - start },
    (_, row) =>
      `<text x="${margin}" y="${margin + (row + 0.8) * height}">${spans(start + row)}</text>`,
  );
  const [w, h] = [size.cols * width + 2 * margin, texts.length * height + 2 * margin];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}">`,
    `<title>A terminal: chapter 2 shows its container's process 1, and a table of its namespaces</title>`,
    `<rect width="${w}" height="${h}" rx="10" fill="${background}"/>`,
    `<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" fill="${foreground}">`,
    ...texts,
    "</g></svg>\n",
  ].join("\n");
}

/** A row's text, cut where its colour changes. */
function spans(row: number): string {
  let drawn = "";
  let style = "";
  const text = line(row).translateToString(true);
  for (let column = 0; column < text.length; column++) {
    const character = line(row).getCell(column)!;
    const fill = character.isFgPalette() ? ` fill="${colours[character.getFgColor() % 8]}"` : "";
    const next = `${fill}${character.isBold() ? ' font-weight="bold"' : ""}${character.isDim() ? ' opacity="0.6"' : ""}`;
    if (column === 0 || next !== style)
      drawn += `${column === 0 ? "" : "</tspan>"}<tspan x="${margin + column * width}"${next}>`;
    style = next;
    drawn += escape(character.getChars() || " ");
  }
  return text && `${drawn}</tspan>`;
}

/** Blanks that do not break are those that nobody collapses. */
function escape(text: string): string {
  return text.replace(/[&<>]/g, (each) => `&#${each.charCodeAt(0)};`).replaceAll(" ", "\u00a0");
}
