import { testChapter } from "./testing.ts";

testChapter("chapters/01-chroot.ts", {
  shows: [/^ *Hello$/m, /No such file or directory/],
  stops: [
    ["SIGINT", /^ps -ax$/m],
    // Here /proc is mounted, where the host can see it.
    ["SIGTERM", /(^sudo chroot rootfs bash$[^]*){3}/m],
    ["SIGHUP", /^sudo nsenter --pid=\/proc\/self\/ns\/pid --root=rootfs bash$/m],
  ],
});
