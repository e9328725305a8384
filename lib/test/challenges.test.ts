/**
 * Every chapter's challenges, solved as their solutions do. In a file of its own, so that it runs beside
 * the chapters.
 */
import { testStory } from "./story.ts";
import { stories } from "./testing.ts";

stories.filter(({ flags }) => flags.length > 0).forEach(testStory);
