/**
 * What the reader has been told to the end on this machine. That is noted in the checkout, and
 * nowhere else.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

const note = process.env.BY_HAND_TOLD ?? fileURLToPath(new URL("../.told.json", import.meta.url));

/** By the names of the chapters' files: how many rows of the table were equal, `9 of 18`. */
export function told(): Record<string, string> {
  try {
    return JSON.parse(readFileSync(note, "utf8")) as Record<string, string>;
  } catch {
    return {};
  }
}

/** Notes that a chapter was told, unless the checkout is somebody else's. */
export function remember(chapter: string, rows: string) {
  try {
    writeFileSync(note, `${JSON.stringify({ ...told(), [basename(chapter)]: rows }, null, 2)}\n`);
  } catch {
    // Then the table of contents does not show it.
  }
}
