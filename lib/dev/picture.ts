/**
 * Draws the picture in the README: a real walk through chapter 2, as an animated SVG. Every question is
 * answered with Enter, until the table is on the screen; each is a frame.
 *
 * @run npm run picture
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { spawn } from "@lydell/node-pty";
import xterm from "@xterm/headless";
import { runtime } from "../kernel.ts";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

const size = { cols: 92, rows: 36 };
/** What stands on the last frame. */
const last = "private are the ones";
/** How long a frame stays, and the last one; seconds. */
const [each, longer] = [4, 10];
/** A character's width and a line's height, and the margin around all; pixels. */
const [width, height, margin] = [8.43, 19, 16];
const [foreground, background] = ["#d8dee9", "#2e3440"];
/** The terminal's colours, by their number. */
const colours = [
  ...["#4c566a", "#bf616a", "#a3be8c", "#ebcb8b"],
  ...["#81a1c1", "#b48ead", "#88c0d0", "#eceff4"],
];

const terminal = new xterm.Terminal({ ...size, allowProposedApi: true });
const [node = "", ...options] = runtime();
const chapter = spawn(node, [...options, path("chapters/02-unshare.ts")], {
  ...size,
  cwd: path("."),
  env: { ...process.env, TERM: "xterm-256color" },
});

const frames: string[][] = [];
let question = "";
let isDrawn = false;
chapter.onData((text) => {
  question += text;
  terminal.write(text, () => {
    if (!question.includes("Stop here")) return;
    question = "";
    const rows = Array.from({ length: size.rows }, (_, row) => row);
    frames.push(rows.map((row) => spans(row)));
    if (!rows.some((row) => line(row).translateToString().includes(last)))
      return chapter.write("\r");
    mkdirSync(path(".github"), { recursive: true });
    writeFileSync(path(".github/walk.svg"), drawing());
    isDrawn = true;
    chapter.write("\x03");
  });
});
chapter.onExit(() => {
  if (isDrawn) return;
  console.error(`No picture: the chapter ended before "${last}".\n${question}`);
  process.exitCode = 1;
});

const line = (row: number) =>
  terminal.buffer.active.getLine(terminal.buffer.active.viewportY + row)!;

function drawing(): string {
  const [w, h] = [size.cols * width + 2 * margin, size.rows * height + 2 * margin];
  const whole = (frames.length - 1) * each + longer;
  const percent = (frame: number) => Math.round(((frame * each) / whole) * 10_000) / 100;
  const drawn = frames.map((rows, frame) => {
    const texts = rows.map(
      (row, at) => row && `<text y="${(margin + (at + 0.8) * height).toFixed(1)}">${row}</text>`,
    );
    return `<g style="animation-name:f${frame}">${texts.filter(Boolean).join("\n")}</g>`;
  });
  const shown = frames.map((_, frame) => {
    const until = frame + 1 < frames.length ? `${percent(frame + 1)}%{visibility:hidden}` : "";
    return `@keyframes f${frame}{0%{visibility:hidden}${percent(frame)}%{visibility:visible}${until}}`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}">`,
    `<title>A terminal: a walk through chapter 2, as far as the table of its namespaces</title>`,
    // Who wants no motion, or has none, gets the last frame.
    `<style>g g{visibility:hidden;animation:${whole}s step-end infinite}g g:last-child{visibility:visible}`,
    `@media(prefers-reduced-motion:reduce){g g{animation:none}}`,
    ...shown,
    `</style>`,
    `<rect width="${w}" height="${h}" rx="10" fill="${background}"/>`,
    `<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" fill="${foreground}">`,
    ...drawn,
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
      drawn += `${column === 0 ? "" : "</tspan>"}<tspan x="${(margin + column * width).toFixed(1)}"${next}>`;
    style = next;
    drawn += escape(character.getChars() || " ");
  }
  return text && `${drawn}</tspan>`;
}

/** Blanks that do not break are those that nobody collapses. */
function escape(text: string): string {
  return text.replace(/[&<>]/g, (each) => `&#${each.charCodeAt(0)};`).replaceAll(" ", "\u00a0");
}
