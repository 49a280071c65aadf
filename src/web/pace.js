// How much sound to keep in hand, and how fast to play so that it stays that much.
//
// What counts is the lowest that the buffer falls to before the next pages come: on a good link
// that is steady, on a bad one it is ragged. `Pace` holds that low mark at a small margin by playing
// a little faster or slower, which nobody hears as a click. When sound ran out in spite of it, the
// margin grows; after a calm time it shrinks again. Times are in seconds. Pure: the caller has the
// clock.

const LEAST = 0.12;
const MOST = 1.5;
// Seconds that the low mark is taken over.
const WINDOW = 5;
// A calm time, after which some of the margin is given back.
const CALM = 8;
const FASTEST = 1.08;
const SLOWEST = 0.97;

export class Pace {
  margin = LEAST;
  rate = 1;
  #marks = []; // { second, low }, lows as if there had been no change of rate since the beginning
  #shift = 0; // what changes of rate have added to the buffer
  #last = null;
  #calm = null;

  /** Pages came at `now`, when `ahead` was left to play. The rate to play at from now on. */
  arrived(now, ahead) {
    if (this.#last !== null) this.#shift += (1 - this.rate) * (now - this.#last);
    this.#last = now;
    this.#note(now, ahead - this.#shift);
    this.#relax(now);
    this.rate = this.#decide(this.#low() + this.#shift - this.margin);
    return this.rate;
  }

  /** Sound ran out. */
  starved(now) {
    this.margin = Math.min(MOST, this.margin * 1.3 + 0.03);
    this.#calm = now;
    this.moved();
  }

  /** The player went somewhere else: what was seen before says nothing of what comes. */
  moved() {
    this.#marks = [];
    this.#shift = 0;
  }

  #note(now, low) {
    const second = Math.floor(now);
    const newest = this.#marks.at(-1);
    if (newest?.second === second) newest.low = Math.min(newest.low, low);
    else this.#marks.push({ second, low });
    while (this.#marks[0].second < second - WINDOW) this.#marks.shift();
  }

  #low() {
    return Math.min(...this.#marks.map(({ low }) => low));
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
