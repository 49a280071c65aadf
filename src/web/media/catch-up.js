// @ts-check
// How much audio to keep buffered, and how fast to play to keep that much.
//
// What counts is the low mark that the buffer falls to before the next pages arrive. It follows from how late pages
// arrive, which depends on the link alone and not on the speed or position of playback. `CatchUp` holds the low mark at
// a small margin by playing slightly faster or slower, without audible clicks. When the buffer ran dry nevertheless,
// the margin grows; after a calm time it shrinks. Times are in seconds. Pure: the caller has the clock.

export const LEAST = 0.12;
const MOST = 1.5;
// Seconds over which lateness is observed.
const WINDOW = 6;
// Seconds without starving after which the margin shrinks.
const CALM = 8;
const FASTEST = 1.08;
const SLOWEST = 0.97;
// The longest portion that a hidden page appends, and by how much portions grow in a second: less than what the slowest
// playback adds to the buffer in that time.
const LONGEST_PORTION = 0.2;
const PORTION_GROWTH = 0.02;

export class CatchUp {
  margin = LEAST;
  rate = 1;
  /**
   * The greatest lateness in each of the last seconds: the time of arrival less the time that the pages continue at.
   *
   * @type {{ second: number, most: number }[]}
   */
  #late = [];
  /** @type {number | null} */
  #calm = null;
  /** @type {number | null} */
  #hidden = null;

  /**
   * How much audio is collected before it is appended. To append costs about the same for any length, and while the page
   * is hidden, more delay does not matter.
   *
   * @param {number} now
   * @param {boolean} isHidden
   */
  portion(now, isHidden) {
    this.#hidden = isHidden ? (this.#hidden ?? now) : null;
    return this.#hidden === null ? 0 : Math.min(LONGEST_PORTION, (now - this.#hidden) * PORTION_GROWTH);
  }

  /**
   * Pages have arrived.
   *
   * @param {number} now
   * @param {number} end Where the audio ended that they continue.
   * @param {number} position What is being played.
   * @returns {number} How fast to play from now on.
   */
  arrived(now, end, position) {
    this.#note(now, now - end);
    this.#relax(now);
    // What would be left in the buffer if the next page were as late as the latest of the last ones.
    const low = now - position - Math.max(...this.#late.map(({ most }) => most));
    this.rate = this.#decide(low - this.margin);
    return this.rate;
  }

  /**
   * The buffer ran dry.
   *
   * @param {number} now
   */
  starved(now) {
    this.margin = Math.min(MOST, this.margin * 1.3 + 0.03);
    this.#calm = now;
  }

  /**
   * @param {number} now
   * @param {number} late
   */
  #note(now, late) {
    const second = Math.floor(now);
    const newest = this.#late.at(-1);
    if (newest?.second === second) newest.most = Math.max(newest.most, late);
    else this.#late.push({ second, most: late });
    while (this.#late[0].second < second - WINDOW) this.#late.shift();
  }

  /** @param {number} now */
  #relax(now) {
    this.#calm ??= now;
    if (now - this.#calm < CALM) return;
    this.#calm = now;
    this.margin = Math.max(LEAST, this.margin * 0.92);
  }

  // Correction begins late and then continues to the end, so that most of the time the rate is exactly 1. The rate
  // changes in steps, as each change costs the browser something.
  /** @param {number} spare */
  #decide(spare) {
    const tolerance = this.rate === 1 ? 0.05 : 0.01;
    if (spare > tolerance) return Math.min(FASTEST, 1 + Math.ceil(spare * 20 + 1) / 100);
    if (spare < -tolerance) return SLOWEST;
    return 1;
  }
}
