/**
 * Can networks be made here, of cables, bridges and rules?
 *
 * @see veth(4), ip-link(8), nft(8)
 */
import { type Try } from "../preflight.ts";

const requireNetwork: Try = async () => {};
export default requireNetwork;
