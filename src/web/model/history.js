// @ts-check
// The spectra of what was heard: enough of them to draw the spectrogram again when the view changes.
//
// A ring of fixed size with one column for each step of time. A spectrum is kept as bytes over the whole range of
// loudness, so the range that is shown can be chosen afterwards.

export const QUIETEST = -140;
export const LOUDEST = 0;
/** Columns per second. */
export const RATE = 60;

const COLUMNS = 4096;

export class History {
  /** Columns so far. */
  count = 0;

  #bins;
  #bytes;
  /** @type {number | null} */
  #begun = null;

  /** @param {number} bins Bytes of a spectrum. */
  constructor(bins) {
    this.#bins = bins;
    this.#bytes = new Uint8Array(COLUMNS * bins);
  }

  /**
   * Fills all columns that are due.
   *
   * @param {number} now In milliseconds.
   * @param {(column: Uint8Array<ArrayBuffer>) => void} read Reads the present spectrum.
   */
  take(now, read) {
    this.#begun ??= now - (this.count * 1000) / RATE;
    const due = Math.floor(((now - this.#begun) * RATE) / 1000);
    const missed = due - this.count;
    if (missed <= 0) return;
    const newest = this.column(due - 1);
    read(newest);
    // A hidden page gets no frames. What it missed is left empty, not made up.
    const filled = missed > RATE / 2 ? 0 : missed;
    for (let back = 1; back < Math.min(missed, COLUMNS); back += 1) {
      const column = this.column(due - 1 - back);
      if (back < filled) column.set(newest);
      else column.fill(0);
    }
    this.count = due;
  }

  /** Nothing is played: time stands still until something is. */
  rest() {
    this.#begun = null;
  }

  /** @param {number} number */
  column(number) {
    const at = (((number % COLUMNS) + COLUMNS) % COLUMNS) * this.#bins;
    return this.#bytes.subarray(at, at + this.#bins);
  }

  /** @param {number} number */
  has(number) {
    return number >= 0 && number < this.count && number > this.count - COLUMNS;
  }
}
