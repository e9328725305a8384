/**
 * Docker and Podman, where a chapter is asked to work with one of them.
 *
 * @see docker(1), podman(1)
 */
import { CannotStart } from "./preflight.ts";
import { findProgram, tryOut, type Shell } from "./shell.ts";

export interface Engine {
  title: "Docker" | "Podman";
  /** How it is called here: with sudo, where its socket is only root's. */
  command: "docker" | "podman" | "sudo docker";
  /** Why it cannot be used, as a sentence; undefined if it can. */
  refusal?: string;
}

/**
 * An engine, as this user can use it.
 *
 * @param sudo whether lines may use sudo
 */
export function findEngine(name: "docker" | "podman", sudo: boolean): Engine {
  const title = name === "docker" ? "Docker" : "Podman";
  const engine: Engine = { title, command: name };
  if (!findProgram(name))
    return {
      ...engine,
      refusal: `${title} is not installed here: there is no ${name}. Every chapter can be told without it.`,
    };
  const { ok, stderr } = tryOut(`${name} version`);
  if (ok) return engine;
  if (name === "docker" && /permission denied/i.test(stderr)) {
    if (sudo && findProgram("sudo")) return { title, command: "sudo docker" };
    return {
      ...engine,
      refusal:
        "You have no permission on Docker's socket. Someone with root can put you into the group that has (sudo usermod --append --groups docker $USER; it makes you as powerful as root), or you use sudo: leave out --rootless.",
    };
  }
  return { ...engine, refusal: translate(engine, stderr) };
}

/** What an engine complained about, as a sentence. */
function translate({ title, command }: Engine, complaint: string): string {
  if (/cannot connect|daemon running/i.test(complaint))
    return `${title} is installed, but not running. Start it, such as with: sudo systemctl start docker`;
  const [first = ""] = complaint.trim().split("\n").slice(-1);
  return `${title} does not answer as it should (${command} version): ${first}`;
}

/**
 * Refuses a name that is no image of an engine's.
 *
 * @throws CannotStart
 */
export async function requireImage(
  engine: Engine,
  image: string,
  shell: Shell,
) {
  const { title, command } = engine;
  const answer = await shell.run(`${command} image inspect ${image}`);
  if (answer.ok) return;
  throw new CannotStart(
    /no such|not known|not found/i.test(answer.stderr)
      ? `${title} has no image ${image} here. \`${command} images\` lists what it has, and \`${command} pull ${image}\` may fetch it.`
      : translate(engine, answer.stderr),
  );
}

/** The line that removes a container if there is one of that name, and is content if there is none. */
export function removal({ command }: Engine, name: string): string {
  return `${command} container ls --all --quiet --filter name=${name} | xargs --no-run-if-empty ${command} rm --force`;
}
