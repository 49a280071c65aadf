// @ts-check
// Where live is: which sample of a stream the server has just received.
//
// About once a second the server sends its newest granule and its time. How long ago that was is measured with this
// machine's monotonic clock, as its wall clock may be wrong by minutes. An event that was delayed on its way makes live
// seem earlier than it is, so the promptest of the last few events counts. Times are in milliseconds.

export const PER_MS = 48;

const KEPT = 10;
// A larger difference means another stream, not another delay.
const JUMP = 3_000;

export class LiveClock {
  /** @type {number[]} */
  #leads = [];
  /** @type {number | null} */
  #wall = null;

  /**
   * An event has arrived: at `unix`, the server's newest sample was `granule`.
   *
   * @param {number} granule
   * @param {number} unix
   * @param {number} now Monotonic.
   */
  heard(granule, unix, now) {
    const lead = granule / PER_MS - now;
    if (this.#leads.some((other) => Math.abs(other - lead) > JUMP)) this.#leads = [];
    this.#leads.push(lead);
    if (this.#leads.length > KEPT) this.#leads.shift();
    this.#wall = unix - granule / PER_MS;
  }

  /**
   * The newest sample at `now`, or null before the first event.
   *
   * @param {number} now
   */
  live(now) {
    if (this.#leads.length === 0) return null;
    return (Math.max(...this.#leads) + now) * PER_MS;
  }

  /**
   * The Unix time at which a sample was live.
   *
   * @param {number} granule
   */
  wall(granule) {
    return this.#wall === null ? null : this.#wall + granule / PER_MS;
  }
}
