// How much sound to keep in hand, and how fast to play so that it stays that much.
//
// What counts is the lowest that the buffer falls to before the next pages come: on a good link
// that is steady, on a bad one it is ragged. How late pages come is the link's affair alone, so it
// says this at any speed and from any place. `CatchUp` holds that low mark at a small margin by playing
// a little faster or slower, which nobody hears as a click. When sound ran out in spite of it, the
// margin grows; after a calm time it shrinks again. Times are in seconds. Pure: the caller has the
// clock.

export const LEAST = 0.12;
const MOST = 1.5;
// Seconds over which lateness is looked at.
const WINDOW = 6;
// A calm time, after which some of the margin is given back.
const CALM = 8;
const FASTEST = 1.08;
const SLOWEST = 0.97;

export class CatchUp {
  margin = LEAST;
  rate = 1;
  #late = []; // { second, most }: how late pages came at most, against what they continue
  #calm = null;

  /**
   * Pages came at `now` that continue what ends at `end`, while `position` is played. Says how fast
   * to play from now on.
   */
  arrived(now, end, position) {
    this.#note(now, now - end);
    this.#relax(now);
    // What would be left of the buffer if the latest of the last pages came again.
    const low = now - position - Math.max(...this.#late.map(({ most }) => most));
    this.rate = this.#decide(low - this.margin);
    return this.rate;
  }

  /** Sound ran out. */
  starved(now) {
    this.margin = Math.min(MOST, this.margin * 1.3 + 0.03);
    this.#calm = now;
  }

  #note(now, late) {
    const second = Math.floor(now);
    const newest = this.#late.at(-1);
    if (newest?.second === second) newest.most = Math.max(newest.most, late);
    else this.#late.push({ second, most: late });
    while (this.#late[0].second < second - WINDOW) this.#late.shift();
  }

  #relax(now) {
    this.#calm ??= now;
    if (now - this.#calm < CALM) return;
    this.#calm = now;
    this.margin = Math.max(LEAST, this.margin * 0.92);
  }

  // It begins late and goes on to the end, so that most of the time the rate is exactly 1; and
  // in steps, as each change costs the browser something.
  #decide(spare) {
    const tolerance = this.rate === 1 ? 0.05 : 0.01;
    if (spare > tolerance) return Math.min(FASTEST, 1 + Math.ceil(spare * 20 + 1) / 100);
    if (spare < -tolerance) return SLOWEST;
    return 1;
  }
}
