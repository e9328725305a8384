/**
 * The table of contents: pick a chapter, walk it, and come back for the next. It says what each one
 * explains, how long that takes, and which have been told on this machine.
 *
 * @run npm start
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { bold } from "kleur/colors";
import { quote } from "zx/core";
import { chaptersIn, readHeader } from "./header.ts";
import { runtime } from "./kernel.ts";
import { forScreen } from "./prose.ts";
import { endWithReader, pick, print, Stopped } from "./screen.ts";
import { asJob, handOver } from "./shell.ts";
import { told } from "./told.ts";

const directory = fileURLToPath(new URL("../chapters", import.meta.url));
const chapters = chaptersIn(directory).map((file) => ({ file, ...readHeader(file) }));
const flags = process.argv.slice(2);
endWithReader();

const isHelp = flags.includes("-h") || flags.includes("--help");
if (process.stdin.isTTY && process.stdout.isTTY && !isHelp)
  await browse().catch((error: unknown) => {
    if (!(error instanceof Stopped)) throw error;
  });
else {
  print("npm start [-- options]\n\nPick a chapter and walk it. Options are handed to the chapter;");
  print(`what there is: ${chapters[0]?.run} --help\n`);
  for (const chapter of chapters)
    print(`${chapter.title}\n    ${chapter.run}\n    ${about(chapter)}`);
}

/** What a chapter explains, how long it takes, and whether it has been told. */
function about({ file, known }: (typeof chapters)[number]): string {
  // Its shell takes longer than its prose.
  const minutes = Math.round(readFileSync(file, "utf8").split(/\s+/).length / 120);
  const rows = told()[basename(file)];
  return [
    forScreen(known),
    `${minutes} minutes`,
    ...(rows === undefined ? [] : [rows ? `told, ${rows} rows as Docker has them` : "told"]),
  ].join(" · ");
}

/** Offers the chapters until the reader has had enough. */
async function browse() {
  print(bold("Containers by hand"));
  let next = 0;
  for (;;) {
    const options = [
      ...chapters.map((each) => ({
        ...{ value: each.file, hint: about(each) },
        label: `${told()[basename(each.file)] === undefined ? " " : "✔"} ${each.title}`,
      })),
      { value: "leave", label: "  Leave" },
    ];
    const picked = await pick("Which chapter?", options, options[next]?.value);
    if (picked === "leave") return;
    next = options.findIndex(({ value }) => value === picked);
    print();
    if (await walk(picked)) next++;
  }
}

/** Runs a chapter; returns whether it was told to its end. */
async function walk(file: string): Promise<boolean> {
  const command = [...runtime(), file, ...flags];
  // Ctrl-C in a chapter is for the chapter.
  const ignore = () => {};
  process.on("SIGINT", ignore);
  const { ok } = await handOver(asJob(command.map(quote).join(" ")));
  process.off("SIGINT", ignore);
  return ok;
}
