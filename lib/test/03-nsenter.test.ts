import { testChapter } from "./testing.ts";

testChapter("chapters/03-nsenter.ts", {
  shows: [/ 1 +0 .* sleep 1d$/m, /^ *a-container$/m],
  stops: [
    ["SIGINT", /^sudo unshare .* sleep 1d/m],
    ["SIGTERM", /^sudo nsenter .* --uts hostname a-container$/m],
    ["SIGHUP", /^sudo nsenter .* --root --wd bash$/m],
  ],
});
