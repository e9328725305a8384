/**
 * Every chapter. Whatever is in chapters/ is tested.
 */
import { testStory } from "./story.ts";
import { mode, stories } from "./testing.ts";

console.log(`Chapters run as: ${mode ?? "nobody, so they are skipped"}.`);

stories.filter(({ flags }) => flags.length === 0).forEach(testStory);
