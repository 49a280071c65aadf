// What was heard, as spectra: enough of it to draw the picture again whenever the view changes.
//
// A fixed ring, one column for each step of time. A spectrum is kept as bytes over the whole range of
// loudness, so that the range that is shown can be chosen afterwards.

export const QUIETEST = -140;
export const LOUDEST = 0;
/** Columns a second. */
export const RATE = 60;

const COLUMNS = 4096;

export class History {
  /** Columns since the beginning. */
  count = 0;

  #bins;
  #bytes;
  #begun = null;

  constructor(bins) {
    this.#bins = bins;
    this.#bytes = new Uint8Array(COLUMNS * bins);
  }

  /** Takes `spectrum` for all columns that are due at `now` (milliseconds). */
  take(now, read) {
    this.#begun ??= now - (this.count * 1000) / RATE;
    const due = Math.floor(((now - this.#begun) * RATE) / 1000);
    const missed = due - this.count;
    if (missed <= 0) return;
    const newest = this.column(due - 1);
    read(newest);
    // A page that was hidden draws nothing; what it missed is left empty, not made up.
    const filled = missed > RATE / 2 ? 0 : missed;
    for (let back = 1; back < Math.min(missed, COLUMNS); back += 1) {
      const column = this.column(due - 1 - back);
      if (back < filled) column.set(newest);
      else column.fill(0);
    }
    this.count = due;
  }

  /** Nothing is heard now: time stands still until something is. */
  rest() {
    this.#begun = null;
  }

  column(number) {
    const at = (((number % COLUMNS) + COLUMNS) % COLUMNS) * this.#bins;
    return this.#bytes.subarray(at, at + this.#bins);
  }

  has(number) {
    return number >= 0 && number < this.count && number > this.count - COLUMNS;
  }
}
