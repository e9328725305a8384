/**
 * Tars that tar itself would not make. See tar(5).
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { findProgram } from "../shell.ts";

export interface Entry {
  path: string;
  /** As tar(5) has it: 0 a file, 1 a hard link, 2 a symbolic one, 3 a device, 5 a directory. */
  type?: "0" | "1" | "2" | "3" | "5";
  link?: string;
  content?: Buffer;
  /** The name of its owner. */
  owner?: string;
  /** When it was changed; seconds since 1970. */
  time?: number;
}

/** A tar, written byte by byte. */
export function tarOf(entries: Entry[]): Buffer {
  const blocks = entries.flatMap(
    ({ path, type = "0", link = "", content = Buffer.from("written"), owner = "", time = 0 }) => {
      const size = type === "0" ? content.length : 0;
      const header = Buffer.alloc(512);
      header.write(path, 0);
      header.write("0000755\0", 100);
      header.write("0000000\0".repeat(2), 108);
      header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
      // What has no room in octal digits is binary.
      header[136] = 0x80;
      header.writeBigUInt64BE(BigInt(time), 140);
      if (time < 8 ** 11) header.write(`${time.toString(8).padStart(11, "0")}\0`, 136);
      header.write(" ".repeat(8), 148);
      header.write(type, 156);
      header.write(link, 157);
      header.write("ustar\x0000", 257);
      header.write(owner, 265);
      header.write("0000001\0".repeat(2), 329);
      const sum = header.reduce((total, byte) => total + byte, 0);
      header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
      const padding = Buffer.alloc((512 - (size % 512)) % 512);
      return size > 0 ? [header, content, padding] : [header];
    },
  );
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** A root file system that every chapter can be told with. */
export function busyboxRoot(): Entry[] {
  const names = execFileSync("busybox", ["--list"], { encoding: "utf8" });
  return [
    {
      path: "bin/busybox",
      content: readFileSync(findProgram("busybox") ?? ""),
    },
    ...names
      .split("\n")
      .filter((name) => name && name !== "busybox")
      .map((name) => ({ path: `bin/${name}`, type: "2", link: "busybox" }) as const),
  ];
}
