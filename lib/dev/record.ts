/**
 * Records what the kernel says of process 1 in one of Docker's containers: lib/docker.txt, for whoever
 * has no Docker at hand.
 * With --calls, what it answers to system calls: lib/calls.txt.
 *
 * @run npx tsx lib/dev/record.ts IMAGE > lib/docker.txt (as root; cgroups of version 2; an image that
 *   has a shell, and grep, nsenter, stat and tr)
 * @run npx tsx lib/dev/record.ts IMAGE --calls > lib/calls.txt (an image that has perl)
 */
import { execFileSync } from "node:child_process";
import { release } from "node:os";
import { calls } from "../calls.ts";
import { looks } from "../facts.ts";
import { limits } from "../options/engine.ts";

const [image = "debian", what] = process.argv.slice(2);
const sh = (line: string, input?: string) =>
  execFileSync("bash", ["-c", line], { encoding: "utf8", input }).trim();

const version = sh("docker version --format '{{.Server.Version}}'");
const today = new Date().toISOString().slice(0, 10);
const about = (options: string) =>
  `Docker ${version} on Linux ${release()}, ${today}, 'docker run ${options}'`;

if (what === "--calls") {
  const answers = sh(`docker run --rm --interactive --network none ${image} perl -`, calls);
  console.log(`${about("--network none")}\n\n${answers}`);
} else {
  recordFacts();
}

function recordFacts() {
  const name = `by-hand-record-${process.pid}`;
  sh(`docker run --detach --rm --name ${name} ${limits} ${image} sleep 1d`);
  try {
    const pid = sh(`docker inspect --format '{{.State.Pid}}' ${name}`);
    const typed = ["cd /proc/1", ...looks].join("\n");
    const covers =
      'hides: {{join .HostConfig.MaskedPaths " "}}{{"\\n"}}makes read-only: {{join .HostConfig.ReadonlyPaths " "}}';
    const text = [
      about(limits),
      sh(`stat -c %d:%i /; ls -l /proc/self/ns; docker inspect --format '${covers}' ${name}`),
      sh(`nsenter --target ${pid} --uts --mount --ipc --net --pid sh 2>&1`, typed),
    ];
    console.log(text.join("\n\n"));
  } finally {
    sh(`docker kill ${name}`);
  }
}
