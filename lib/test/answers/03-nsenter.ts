/** Answers to the challenges of 03 · nsenter, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

export const answers: Answer[][] = [
  [
    {
      name: "all but uts",
      lines: [
        ['sudo nsenter --target "$PID" --mount --ipc --net --pid --root --wd bash', "hostname"],
      ],
    },
    {
      name: "all but mount, one after the other",
      lines: [
        [
          'sudo nsenter --target "$PID" --uts --ipc nsenter --target "$PID" --pid --net bash',
          "true",
        ],
      ],
    },
    {
      name: "all of them",
      lines: [['sudo nsenter --target "$PID" --mount --uts --ipc --net --pid bash', "hostname"]],
      missing: { 0: /in all five/ },
    },
    {
      name: "all but two",
      lines: [['sudo nsenter --target "$PID" --uts --ipc --net bash', "hostname"]],
      missing: { 0: /uts and ipc and net only/ },
    },
    {
      name: "a new one in place of the fifth",
      lines: [
        [
          'sudo nsenter --target "$PID" --mount --ipc --net --uts unshare --pid --fork bash',
          "hostname",
        ],
      ],
      missing: { 1: /pid is neither/ },
    },
  ],
  [
    {
      name: "ip monitor",
      lines: ["sudo nsenter --net=/proc/$PID/ns/net ip monitor &> /dev/null &"],
    },
    {
      name: "a tool in a root that has it, in the net namespace and one more",
      lines: [['sudo nsenter --target "$PID" --net --uts bash', "ip address show"]],
      missing: { 1: /uts, as well/ },
    },
    {
      name: "a program that the container has",
      lines: ['sudo nsenter --target "$PID" --net sleep 3 &> /dev/null &'],
      missing: { 2: /sleep, which the container has/ },
    },
    {
      name: "the container's root",
      lines: [
        "cp --parents $(type -P bash) $(ldd /bin/bash | grep -o '/[^ :]*') rootfs",
        ['sudo nsenter --target "$PID" --net --root bash', "true"],
      ],
      missing: { 2: /not the host's/ },
    },
  ],
];
