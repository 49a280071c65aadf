// Where live is: which sample of a stream the server has just got.
//
// The server says about once a second which granule is its newest and what time it is there. How
// long ago that was is counted on this machine's monotonic clock, as its wall clock may be wrong
// by minutes. An event that was held up on its way would make live seem earlier than it is, so
// the promptest of the last few counts. Times are in milliseconds.

export const PER_MS = 48;

const KEPT = 10;
// Further apart than this it is another stream, not another delay.
const JUMP = 3_000;

export class LiveClock {
  #leads = [];
  #wall = null;

  /** The server said at `now` (monotonic) that its newest sample at `unix` was `granule`. */
  heard(granule, unix, now) {
    const lead = granule / PER_MS - now;
    if (this.#leads.some((other) => Math.abs(other - lead) > JUMP)) this.#leads = [];
    this.#leads.push(lead);
    if (this.#leads.length > KEPT) this.#leads.shift();
    this.#wall = unix - granule / PER_MS;
  }

  /** The newest sample at `now`, or null before the server has said anything. */
  live(now) {
    if (this.#leads.length === 0) return null;
    return (Math.max(...this.#leads) + now) * PER_MS;
  }

  /** When a sample was live, as Unix time. */
  wall(granule) {
    return this.#wall === null ? null : this.#wall + granule / PER_MS;
  }
}
