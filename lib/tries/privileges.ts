import type { Try } from "../preflight.ts";
const x: Try = async () => {};
export default x;
