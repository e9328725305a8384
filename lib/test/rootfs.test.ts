import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { askLdd, copyListed, hostPrograms, parseAnswers, parseLdd } from "../rootfs.ts";
import { findProgram } from "../shell.ts";
import type { Verbs } from "../verbs.ts";
import { missingTools, noOwnMounts, ownMounts, run, temporary } from "./testing.ts";

const elf = "\x7fELF\x02\x01\x01";

test("parseLdd() lists libraries and loader when it is Debian's ldd", () => {
  const answer = `\tlinux-vdso.so.1 (0x00007ffd2a5f2000)
\tlibtinfo.so.6 => /lib/x86_64-linux-gnu/libtinfo.so.6 (0x00007f3b8b1f0000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f3b8b00f000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f3b8b37a000)
`;
  assert.deepEqual(parseLdd("/usr/bin/bash", answer, elf), [
    "/lib/x86_64-linux-gnu/libtinfo.so.6",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib64/ld-linux-x86-64.so.2",
  ]);
});

test("parseLdd() lists libraries and loader when it is Fedora's ldd", () => {
  const answer = `\tlinux-vdso.so.1 (0x00007f1d9c1c6000)
\tlibselinux.so.1 => /lib64/libselinux.so.1 (0x00007f1d9c140000)
\tlibcap.so.2 => /lib64/libcap.so.2 (0x00007f1d9c134000)
\tlibc.so.6 => /lib64/libc.so.6 (0x00007f1d9bf43000)
\tlibpcre2-8.so.0 => /lib64/libpcre2-8.so.0 (0x00007f1d9be90000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f1d9c1c8000)
`;
  assert.deepEqual(parseLdd("/usr/bin/ls", answer, elf), [
    "/lib64/libselinux.so.1",
    "/lib64/libcap.so.2",
    "/lib64/libc.so.6",
    "/lib64/libpcre2-8.so.0",
    "/lib64/ld-linux-x86-64.so.2",
  ]);
});

test("parseLdd() lists both paths of the loader when it is Arch's ldd", () => {
  const answer = `\tlinux-vdso.so.1 (0x00007e5b2b9c4000)
\tlibreadline.so.8 => /usr/lib/libreadline.so.8 (0x00007e5b2b7f7000)
\tlibc.so.6 => /usr/lib/libc.so.6 (0x00007e5b2b605000)
\tlibncursesw.so.6 => /usr/lib/libncursesw.so.6 (0x00007e5b2b596000)
\t/lib64/ld-linux-x86-64.so.2 => /usr/lib64/ld-linux-x86-64.so.2 (0x00007e5b2b9c6000)
`;
  assert.deepEqual(parseLdd("/usr/bin/bash", answer, elf), [
    "/usr/lib/libreadline.so.8",
    "/usr/lib/libc.so.6",
    "/usr/lib/libncursesw.so.6",
    "/lib64/ld-linux-x86-64.so.2",
    "/usr/lib64/ld-linux-x86-64.so.2",
  ]);
});

test("parseLdd() lists the loader once when it is musl's ldd, which has it twice", () => {
  const answer = `\t/lib/ld-musl-x86_64.so.1 (0x7f5c1c5a1000)
\tlibreadline.so.8 => /usr/lib/libreadline.so.8 (0x7f5c1c45d000)
\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f5c1c5a1000)
\tlibncursesw.so.6 => /usr/lib/libncursesw.so.6 (0x7f5c1c40b000)
`;
  assert.deepEqual(parseLdd("/bin/bash", answer, elf), [
    "/lib/ld-musl-x86_64.so.1",
    "/usr/lib/libreadline.so.8",
    "/usr/lib/libncursesw.so.6",
  ]);
});

test("parseLdd() lists libraries and loader when it is an arm64 machine", () => {
  const answer = `\tlinux-vdso.so.1 (0x0000ffff9d5c6000)
\tlibtinfo.so.6 => /lib/aarch64-linux-gnu/libtinfo.so.6 (0x0000ffff9d3e0000)
\tlibc.so.6 => /lib/aarch64-linux-gnu/libc.so.6 (0x0000ffff9d230000)
\t/lib/ld-linux-aarch64.so.1 (0x0000ffff9d589000)
`;
  assert.deepEqual(parseLdd("/bin/bash", answer, elf), [
    "/lib/aarch64-linux-gnu/libtinfo.so.6",
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/lib/ld-linux-aarch64.so.1",
  ]);
});

for (const answer of [
  "\tnot a dynamic executable\n",
  "\tstatically linked\n",
  "/lib/ld-musl-x86_64.so.1: /bin/true: Not a valid dynamic program\n",
])
  test(`parseLdd() lists nothing when ldd says "${answer.trim()}" of a static program`, () => {
    assert.deepEqual(parseLdd("/bin/true", answer, elf), []);
  });

for (const answer of [
  "\tnot a dynamic executable\n",
  "/lib/ld-musl-x86_64.so.1: /usr/bin/ldd: Not a valid dynamic program\n",
]) {
  test(`parseLdd() names the interpreter when ldd says "${answer.trim()}" of a script`, () => {
    const head = "#! /bin/sh -e\n# A script.\n";
    assert.throws(
      () => parseLdd("/usr/bin/ldd", answer, head),
      /^Error: \/usr\/bin\/ldd .*\bscript\b.* \/bin\/sh\b/,
    );
  });

  test(`parseLdd() names the file when ldd says "${answer.trim()}" of a text`, () => {
    assert.throws(
      () => parseLdd("/etc/hostname", answer, "by-hand\n"),
      /^Error: \/etc\/hostname is not a program/,
    );
  });
}

for (const [libc, answer] of [
  [
    "glibc's",
    `\tlinux-vdso.so.1 (0x00007ffe6b5d1000)
\tlibgone.so.3 => not found
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1f0f7b4000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f1f0f9a5000)
`,
  ],
  [
    "musl's",
    `\t/lib/ld-musl-x86_64.so.1 (0x7f0e3f1c2000)
\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f0e3f1c2000)
Error loading shared library libgone.so.3: No such file or directory (needed by /opt/app)
Error relocating /opt/app: gone: symbol not found
`,
  ],
] as const)
  test(`parseLdd() names program and library when one is not found, in ${libc} words`, () => {
    assert.throws(
      () => parseLdd("/opt/app", answer, elf),
      /^Error: \/opt\/app .*\blibgone\.so\.3\b/,
    );
  });

for (const unfit of [
  "error while loading shared libraries: /lib/x86_64-linux-gnu/libc.so: invalid ELF header",
  "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found",
])
  test(`parseLdd() names the program when ldd says "${unfit}"`, () => {
    const answer = `/opt/app: ${unfit} (required by /opt/app)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f1f0f7b4000)\n`;
    assert.throws(
      () => parseLdd("/opt/app", answer, elf),
      ({ message }: Error) => message.startsWith("/opt/app ") && message.includes(unfit),
    );
  });

test("parseAnswers() tells the answers for several programs apart", () => {
  const printed = `ldd /usr/bin/cat
\tlibc.so.6 => /lib64/libc.so.6 (0x00007f3f4c800000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f3f4cb6f000)
ldd /usr/bin/ls
\tlibcap.so.2 => /lib64/libcap.so.2 (0x00007f1d9c134000)
\tlibc.so.6 => /lib64/libc.so.6 (0x00007f1d9bf43000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f1d9c1c8000)
`;
  assert.deepEqual(
    parseAnswers(printed),
    new Map([
      ["/usr/bin/cat", ["/lib64/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]],
      ["/usr/bin/ls", ["/lib64/libcap.so.2", "/lib64/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]],
    ]),
  );
});

test(
  "parseAnswers() finds files that exist when askLdd()'s line is run here",
  { skip: missingTools("ldd", "xargs", "tee") },
  async () => {
    const cwd = temporary();
    const line = `${askLdd(["bash", "ls"])}; rm libraries.txt`;
    const { stdout } = await run(["bash", "-c", line], { cwd, tmp: cwd });
    const answers = parseAnswers(stdout);
    assert.deepEqual(
      [...answers.keys()].map((program) => program.replace(/.*\//, "")),
      ["bash", "ls"],
    );
    for (const [program, files] of answers) {
      assert.notEqual(files.length, 0);
      for (const file of [program, ...files]) assert.ok(existsSync(file), file);
    }
  },
);

test(
  "a program that was built with musl starts in a root, copied by askLdd() and copyListed()",
  { skip: missingTools("musl-gcc", "chroot") || noOwnMounts },
  async () => {
    const cwd = temporary();
    const bash = (line: string) => run(["bash", "-c", line], { cwd, tmp: cwd });
    // Under the name ldd, musl's loader is its ldd.
    const built = await bash(`set -e; mkdir bin rootfs; export PATH=$PWD/bin:$PATH
      echo 'int puts(const char *); int main(void) { return puts("started") < 0; }' > hello.c
      musl-gcc -o bin/hello hello.c; ln -s /lib/ld-musl-*.so.1 bin/ldd
      ${askLdd(["hello"])}; ${copyListed("rootfs")}`);
    assert.equal(built.status, 0, built.stderr);
    const answers = parseAnswers(built.stdout);
    assert.match(String([...answers]), /^\S+\/bin\/hello,\/lib\/ld-musl-\w+\.so\.1$/);
    const started = await run([
      ...ownMounts,
      findProgram("chroot")!,
      join(cwd, "rootfs"),
      join(cwd, "bin/hello"),
    ]);
    assert.equal(started.stdout, "started\n", started.stderr);
    await bash("rm -r -- *");
  },
);

test("hostPrograms() copies nothing when ldd did not find a library", async () => {
  const lines: string[] = [];
  const $ = (async (strings: TemplateStringsArray, ...values: string[]) => {
    lines.push(String.raw(strings, ...values));
    return { stdout: "ldd /opt/app\n\tlibgone.so.3 => not found\n" };
  }) as unknown as Verbs["$"];
  const say = () => {};
  await assert.rejects(hostPrograms("app").fill("root", { $, say }), /libgone\.so\.3/);
  assert.deepEqual(lines, ["mkdir -p root/proc", askLdd(["app"])]);
});
