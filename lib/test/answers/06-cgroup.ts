/** Answers to the challenges of 06 · cgroup, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

/** A shell of nobody's in the group that the line before has made. */
const nobody =
  'sudo bash -c "echo \\$\\$ > $CG/guest/cgroup.procs; exec setpriv --reuid 65534 --regid 65534 --clear-groups bash"';

export const answers: Answer[][] = [
  [
    {
      name: "a group further down, whose parent is frozen",
      lines: [
        "sudo mkdir -p $CG/a/b; echo $PID | sudo tee $CG/a/b/cgroup.procs",
        "echo 1 | sudo tee $CG/a/cgroup.freeze; sleep .5",
        "echo 0 | sudo tee $CG/a/cgroup.freeze; sleep .5",
      ],
    },
    {
      name: "a process that leaves the frozen group",
      lines: [
        "sudo mkdir $CG/cold $CG/warm; echo 1 | sudo tee $CG/cold/cgroup.freeze",
        "echo $PID | sudo tee $CG/cold/cgroup.procs; sleep .5",
        "echo $PID | sudo tee $CG/warm/cgroup.procs; sleep .5",
      ],
    },
    {
      name: "a signal",
      lines: ["kill -STOP $PID; sleep .5", "kill -CONT $PID; sleep 1"],
      missing: { 0: /in none/, 1: /not been seen frozen/, 2: /not been paused/ },
    },
    {
      name: "a signal, and a group",
      lines: [
        "sudo mkdir $CG/loop; echo $PID | sudo tee $CG/loop/cgroup.procs",
        "kill -STOP $PID; sleep .5",
      ],
      missing: { 1: /by a signal/, 2: /not been paused/ },
    },
    {
      name: "a group that stays frozen",
      lines: [
        "sudo mkdir $CG/loop; echo $PID | sudo tee $CG/loop/cgroup.procs",
        "echo 1 | sudo tee $CG/loop/cgroup.freeze; sleep .5",
      ],
      missing: { 2: /still frozen/ },
    },
    {
      name: "a group with somebody else in it",
      lines: [
        "sudo mkdir $CG/loop; sleep 1d &> /dev/null & echo $! | sudo tee $CG/loop/cgroup.procs",
        "echo $PID | sudo tee $CG/loop/cgroup.procs",
        "echo 1 | sudo tee $CG/loop/cgroup.freeze; sleep .5",
        "echo 0 | sudo tee $CG/loop/cgroup.freeze; sleep .5",
      ],
      missing: { 0: /not alone there: 1 more/ },
    },
    {
      name: "no processor time, or next to none",
      lines: [
        "sudo mkdir $CG/loop; echo $PID | sudo tee $CG/loop/cgroup.procs",
        "renice 19 $PID; sleep .5",
      ],
      missing: { 1: /not been seen frozen/, 2: /not been paused/ },
    },
  ],
  [
    {
      name: "a group of users, and bits in place of owners",
      lines: [
        "sudo mkdir $CG/guest; echo 32M | sudo tee $CG/guest/memory.max",
        "cd $CG/guest; sudo chgrp 65534 . cgroup.procs cgroup.subtree_control; sudo chmod g+w . cgroup.procs cgroup.subtree_control; cd",
        [nobody, "true"],
      ],
    },
    {
      name: "a limit, and below it a group that is theirs, limit and all",
      lines: [
        "sudo mkdir -p $CG/limit/guest; echo 32M | sudo tee $CG/limit/memory.max",
        "sudo chown -R 65534 $CG/limit/guest",
        [nobody.replace("$CG/", "$CG/limit/"), "mkdir sub", "true"],
      ],
    },
    {
      name: "everything in it, the limit as well",
      lines: [
        "sudo mkdir $CG/guest; echo 32M | sudo tee $CG/guest/memory.max",
        "sudo chown -R 65534 $CG/guest",
        [nobody, "true"],
      ],
      missing: { 2: /may write .*memory.max/ },
    },
    {
      name: "as much memory as there is above",
      lines: [
        "sudo mkdir $CG/guest; echo 64M | sudo tee $CG/guest/memory.max",
        "sudo chown 65534 $CG/guest $CG/guest/cgroup.procs $CG/guest/cgroup.subtree_control",
        [nobody, "true"],
      ],
      missing: { 1: /memory.max is 67108864/, 2: /There is none/ },
    },
    {
      name: "a directory alone",
      lines: [
        "sudo mkdir $CG/guest; echo 32M | sudo tee $CG/guest/memory.max",
        "sudo chown 65534 $CG/guest",
        [nobody, "true"],
      ],
      missing: { 3: /may not write .*cgroup.procs/ },
    },
    {
      name: "a process of root's",
      lines: [
        "sudo mkdir $CG/guest; echo 32M | sudo tee $CG/guest/memory.max",
        "sudo chown 65534 $CG/guest $CG/guest/cgroup.procs $CG/guest/cgroup.subtree_control",
        ['sudo bash -c "echo \\$\\$ > $CG/guest/cgroup.procs; exec bash"', "true"],
      ],
      missing: { 0: /root's/, 2: /may write/ },
    },
  ],
];
