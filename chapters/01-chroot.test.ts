import { testChapter } from "../lib/testing.ts";

testChapter("chapters/01-chroot.ts", {
  shows: [/^ *Hello$/m, /No such file or directory/],
  stops: [
    ["SIGINT", /^ps -ax$/m],
    // Here /proc is mounted, where the host can see it.
    ["SIGTERM", /(^sudo chroot rootfs bash$[^]*){3}/m],
    ["SIGHUP", /^sudo nsenter --root=rootfs bash$/m],
  ],
});
