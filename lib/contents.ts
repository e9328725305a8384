/**
 * The table of contents: pick a chapter, walk it, and come back for the next.
 *
 * @run npm start
 */
import { fileURLToPath } from "node:url";
import { bold } from "kleur/colors";
import { quote } from "zx/core";
import { chaptersIn, readHeader } from "./header.ts";
import { runtime } from "./kernel.ts";
import { endWithReader, pick, print, Stopped } from "./screen.ts";
import { asJob, handOver } from "./shell.ts";

const directory = fileURLToPath(new URL("../chapters", import.meta.url));
const chapters = chaptersIn(directory).map((file) => ({ file, ...readHeader(file) }));
const flags = process.argv.slice(2);
endWithReader();

if (process.stdin.isTTY && process.stdout.isTTY && !/^(-h|--help)$/m.test(flags.join("\n")))
  await browse().catch((error: unknown) => {
    if (!(error instanceof Stopped)) throw error;
  });
else {
  print("npm start [-- options]\n\nPick a chapter and walk it. Options are handed to the chapter;");
  print(`what there is: ${chapters[0]?.run} --help\n`);
  for (const { title, run } of chapters) print(`${title}\n    ${run}`);
}

/** Offers the chapters until the reader has had enough. */
async function browse() {
  print(bold("Containers by hand"));
  const options = [
    ...chapters.map(({ file, title }) => ({ value: file, label: title })),
    { value: "leave", label: "Leave" },
  ];
  let next = 0;
  for (;;) {
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
  const { ok } = await handOver(asJob(command.map(quote).join(" ")), {});
  process.off("SIGINT", ignore);
  return ok;
}
