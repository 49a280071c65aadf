// @ts-check
// Where live is: which sample of a stream the server has just received.
//
// Two facts give it. The server says at which time, by its clock, a stream was at which granule; that changes rarely.
// And it says every two seconds what its clock shows. How long ago that was is measured with this machine's monotonic
// clock, as its wall clock may be wrong by minutes. An event that was delayed on its way makes the server's time seem
// earlier than it is, so the promptest of the last few events counts. Times are in milliseconds.

export const PER_MS = 48;

const KEPT = 10;
// A larger difference means that the server's clock was set, not another delay.
const JUMP = 3_000;

export class ServerTime {
  /** @type {number[]} */
  #leads = [];

  /**
   * An event has arrived: the server's clock showed `unix`.
   *
   * @param {number} unix
   * @param {number} now Monotonic.
   */
  heard(unix, now) {
    const lead = unix - now;
    if (this.#leads.some((other) => Math.abs(other - lead) > JUMP)) this.#leads = [];
    this.#leads.push(lead);
    if (this.#leads.length > KEPT) this.#leads.shift();
  }

  /**
   * The server's time at `now`, or null before the first event.
   *
   * @param {number} now Monotonic.
   */
  at(now) {
    return this.#leads.length === 0 ? null : Math.max(...this.#leads) + now;
  }
}

export class LiveClock {
  #time;
  /**
   * The server's time at granule 0, or null before the first event.
   *
   * @type {number | null}
   */
  #origin = null;

  /** @param {ServerTime} time */
  constructor(time) {
    this.#time = time;
  }

  /**
   * An event has arrived: at `unix`, the server's newest sample was `granule`.
   *
   * @param {number} granule
   * @param {number} unix
   */
  heard(granule, unix) {
    this.#origin = unix - granule / PER_MS;
  }

  /**
   * The server's time at `now`, or null before it is known.
   *
   * @param {number} now Monotonic.
   */
  time(now) {
    return this.#time.at(now);
  }

  /**
   * The newest sample at `now`, or null before it is known.
   *
   * @param {number} now Monotonic.
   */
  live(now) {
    const time = this.#time.at(now);
    return time === null || this.#origin === null ? null : (time - this.#origin) * PER_MS;
  }

  /**
   * The sample that was live at a Unix time, or null before that is known.
   *
   * @param {number} unix
   */
  granule(unix) {
    return this.#origin === null ? null : Math.round((unix - this.#origin) * PER_MS);
  }

  /**
   * The Unix time at which a sample was live.
   *
   * @param {number} granule
   */
  wall(granule) {
    return this.#origin === null ? null : this.#origin + granule / PER_MS;
  }
}
