/** Answers to the challenges of 08 · user, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

const sleeps = "read -r PID < <(unshare --user bash -c 'echo $$; exec sleep 1d &> /dev/null')";
const join = "nsenter --target $PID --user bash --norc";
/** A map whose 0 is 100000. */
const range = "echo 0 100000 65536 | sudo tee /proc/$PID/{uid,gid}_map";
/** A map of two lines, given in the order that they are to have. */
const two = (...lines: [string, string]) => [
  `printf -v UIDS '%s\\n%s' ${lines.map((line) => `"${line}"`).join(" ")}; GIDS=\${UIDS/$(id -u) 1/$(id -g) 1}`,
  `sudo tee /proc/$PID/uid_map <<< "$UIDS"; sudo tee /proc/$PID/gid_map <<< "$GIDS"`,
];
const asYou = "0 $(id -u) 1";

export const answers: Answer[][] = [
  [
    {
      name: "its lines the other way round, and a user who makes the file themselves",
      lines: [
        sleeps,
        ...two("1 100000 65535", asYou),
        "mkdir -m 777 volume/open; chmod 711 .",
        [
          join,
          "touch volume/root; setpriv --reuid 2 --regid 2 --clear-groups touch volume/open/two; mv volume/open/two volume",
          "true",
        ],
      ],
    },
    {
      name: "more than one process, and files that were there before",
      lines: [
        "touch volume/early volume/late",
        sleeps,
        ...two(asYou, "1 100000 65535"),
        "nsenter --target $PID --user chown 2:2 volume/late",
        ["nsenter --target $PID --user unshare --mount --uts bash", "true"],
      ],
    },
    {
      name: "a range alone, and an owner by sudo",
      lines: [
        sleeps,
        range,
        "touch volume/root volume/two; sudo chown 100001 volume/two; chmod 711 .",
        [join, "true"],
      ],
      missing: { 0: /uid_map is: 0 +100000 +65536/, 1: /You are nobody/, 3: /None is/ },
    },
    {
      name: "you alone, and an owner by sudo",
      lines: [
        "touch volume/root volume/two; sudo chown 100001 volume/two",
        ["unshare --user --map-root-user bash", "true"],
      ],
      missing: { 0: /uid_map is: 0 +\d+ +1\./, 2: /has none/ },
    },
    {
      name: "the number before",
      lines: [
        sleeps,
        ...two(asYou, "1 100000 65535"),
        [join, "touch volume/root volume/two; chown 1 volume/two", "true"],
      ],
      missing: { 4: /They are: .*\b100000\b/ },
    },
    {
      name: "two lines in which you are not root",
      lines: [
        sleeps,
        ...two("0 100000 1000", "1000 $(id -u) 1"),
        "touch volume/you volume/two; sudo chown 100001 volume/two; chmod 711 .",
        [join, "true"],
      ],
      missing: { 1: /You are 1000 in there/, 3: /None is/ },
    },
  ],
  [
    {
      name: "a root file system, a map of two lines, and a mount that others see, too",
      lines: [
        sleeps,
        ...two(asYou, "1 100000 65535"),
        "mkdir box",
        [
          "nsenter --target $PID --user unshare --mount --pid --fork bash",
          "mkdir box/data; mount --bind volume box/data; echo hello > box/data/file",
          "true",
        ],
      ],
    },
    {
      name: "a file that was yours before",
      lines: [
        "touch volume/old",
        ["unshare -r -m bash", "mount --bind volume data; echo more >> data/old", "true"],
      ],
    },
    {
      name: "a directory that everyone may write to",
      lines: [
        "chmod 777 volume",
        [
          "nsenter --target $PID --user unshare --mount bash --norc",
          "mount --bind volume data; touch data/file",
          "true",
        ],
      ],
      missing: { 3: /It is 100000's/, 4: /Everyone may write to 'volume'/ },
    },
    {
      name: "a directory that is not yours any more",
      lines: [
        "sudo chown 100000:100000 volume",
        [
          "nsenter --target $PID --user unshare --mount bash --norc",
          "mount --bind volume data; touch data/file",
          "true",
        ],
      ],
      missing: { 3: /'volume' belongs to 100000/ },
    },
    {
      name: "a file that you have made, for a root who is not you",
      lines: [
        "touch volume/file",
        [
          "nsenter --target $PID --user unshare --mount bash --norc",
          "mount --bind volume data",
          "true",
        ],
      ],
      missing: { 2: /none of them/, 3: /not there/ },
    },
    {
      name: "no mount",
      lines: [["unshare --user --map-root-user --mount bash", "touch volume/file", "true"]],
      missing: { 1: /is not mounted/, 2: /none of them/, 3: /not there/ },
    },
    {
      name: "a user who is not root",
      lines: [
        [
          "unshare --user --map-root-user --mount bash",
          "mount --bind volume data; exec unshare --user bash",
          "touch data/file",
          "true",
        ],
      ],
      missing: { 0: /It is nobody/, 2: /none of them/, 3: /not there/ },
    },
  ],
  [
    {
      name: "a namespace in a namespace, and a longer map",
      lines: [
        sleeps,
        range,
        [
          `${join} -c 'unshare --user --map-root-user --mount bash --norc'`,
          "kill -TERM $VICTIM 2> proof/said",
          "true",
        ],
      ],
    },
    {
      name: "root who is you, and a signal that arrives",
      lines: [
        [
          "unshare --user --map-root-user bash",
          // Again and again: what comes just before bash waits is not seen until that ends.
          "timeout 9 bash -c 'until [ -e hit ]; do kill $VICTIM; sleep .1; done'; echo refused > proof/refused",
          "true",
        ],
      ],
      missing: { 1: /so it may/, 2: /not name your process/, 3: /has made a file 'hit'/ },
    },
    {
      name: "a complaint that somebody else has written",
      lines: [sleeps, range, "echo refused > proof/refused", [join, "true"]],
      missing: { 2: /one of \d+'s/ },
    },
    {
      name: "nobody, without a map",
      lines: [["unshare --user bash", "kill -0 $VICTIM 2> proof/refused", "true"]],
      missing: { 0: /CapEff is 0+\./, 1: /so it may/, 2: /there is none/ },
    },
    {
      name: "a process that has ended before",
      lines: ["kill -9 $VICTIM", sleeps, range, [join, "kill $VICTIM 2> proof/refused", "true"]],
      missing: { 3: /has ended/ },
    },
  ],
];
