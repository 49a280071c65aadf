// @ts-check
// The columns of a spectrogram: for each step of time a spectrum and a level, or that there is nothing. Pure.
//
// A ring of fixed size. A spectrum is kept as bytes over the whole range of loudness, so the view can be chosen
// afterwards. Steps are numbered from a beginning that the picture chooses.

/** Steps per second. */
export const RATE = 60;

/** What is known of a step: nothing; that it was not received; its spectrum. */
export const UNKNOWN = 0;
export const MISSING = 1;
export const RECEIVED = 2;

// More than a minute, which is wider than any screen.
const KEPT = 4096;

export class Columns {
  /** The number after that of the newest step that is known. */
  end = 0;

  #begin = Infinity; // the first step that was ever put
  #changed = Infinity; // the first step before the newest ones that was put late
  #bytes;
  #states = new Uint8Array(KEPT);
  #peaks = new Float32Array(KEPT);

  /** @param {number} bins Of each spectrum. */
  constructor(bins) {
    this.bins = bins;
    this.#bytes = new Uint8Array(KEPT * bins);
  }

  /**
   * Adds a step. Those between the newest one and this are missing.
   *
   * @param {number} number
   * @param {number} peak The largest amplitude within it.
   * @returns {Uint8Array<ArrayBuffer>} Where its spectrum is to be written.
   */
  put(number, peak) {
    this.#begin = Math.min(this.#begin, number);
    for (let missing = Math.max(this.end, number - KEPT, this.#begin); missing < number; missing += 1) {
      this.#states[missing % KEPT] = MISSING;
    }
    if (number < this.end) this.#changed = Math.min(this.#changed, number);
    this.#states[number % KEPT] = RECEIVED;
    this.#peaks[number % KEPT] = peak;
    this.end = Math.max(this.end, number + 1);
    return this.column(number);
  }

  /** @param {number} number */
  state(number) {
    return number < this.end && number >= Math.max(this.#begin, this.end - KEPT) ? this.#states[number % KEPT] : UNKNOWN;
  }

  /** The first step that has come after later ones since the last call; Infinity if none has. */
  takeChanged() {
    const changed = this.#changed;
    this.#changed = Infinity;
    return changed;
  }

  /**
   * The spectrum of a step that was received.
   *
   * @param {number} number
   */
  column(number) {
    const at = (number % KEPT) * this.bins;
    return this.#bytes.subarray(at, at + this.bins);
  }

  /**
   * The largest amplitude within a step, or 0.
   *
   * @param {number} number
   */
  peak(number) {
    return this.state(number) === RECEIVED ? this.#peaks[number % KEPT] : 0;
  }
}
