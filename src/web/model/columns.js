// @ts-check
// The columns of a spectrogram: for each step of time a spectrum and a level, or that there is nothing. Pure.
//
// A spectrum is kept as bytes over the whole range of loudness, so the view can be chosen afterwards. Steps are numbered
// from a beginning that the picture chooses. Old ones are forgotten.

/** Steps per second. */
export const RATE = 60;

/** What is known of a step: nothing; that it was not received; its spectrum. */
export const UNKNOWN = 0;
export const MISSING = 1;
export const RECEIVED = 2;

// So many absences of the source are remembered.
const ABSENCES = 100;
// Next to an absence, what is as quiet as this (-100 dB, which no microphone is) belongs to it: in steps.
const SILENCE = 1e-5;
const BEFORE = 15 * RATE;
const AFTER = 2 * RATE;
// Memory is taken for so many columns at a time.
const BLOCK = 512;

/** @typedef {{ spectra: Uint8ClampedArray<ArrayBuffer>, states: Uint8Array, peaks: Float32Array }} Block */

export class Columns {
  /** The number after that of the newest step that is known. */
  end = 0;
  /** How many steps are kept. */
  kept = 90 * RATE;

  #begin = Infinity; // the first step that was ever put
  #changed = Infinity; // the first step before the newest ones that was put late
  /** @type {Map<number, Block>} */
  #blocks = new Map();
  #forgotten = new Uint8ClampedArray(0);
  /**
   * When the source sent nothing.
   *
   * @type {{ from: number, to: number, isExact: boolean }[]}
   */
  #absences = [];

  /** @param {number} bins Of each spectrum. */
  constructor(bins) {
    this.bins = bins;
  }

  /** The first step that may be known. */
  get begin() {
    return Math.max(this.#begin, this.end - this.kept);
  }

  /**
   * Adds a step. Those between the newest one and this are missing.
   *
   * @param {number} number
   * @param {number} peak The largest amplitude within it.
   * @returns {Uint8ClampedArray<ArrayBuffer>} Where its spectrum is to be written.
   */
  put(number, peak) {
    if (number < this.end - this.kept) {
      if (this.#forgotten.length === 0) this.#forgotten = new Uint8ClampedArray(this.bins);
      return this.#forgotten;
    }
    this.#begin = Math.min(this.#begin, number);
    for (let missing = Math.max(this.end, number - this.kept, this.#begin); missing < number; missing += 1) {
      this.#block(missing).states[missing % BLOCK] = MISSING;
    }
    if (number < this.end) this.#changed = Math.min(this.#changed, number);
    const { states, peaks } = this.#block(number);
    states[number % BLOCK] = RECEIVED;
    peaks[number % BLOCK] = peak;
    this.end = Math.max(this.end, number + 1);
    return this.column(number);
  }

  /** @param {number} number */
  state(number) {
    if (number < this.begin || number >= this.end) return UNKNOWN;
    return this.#blocks.get(Math.floor(number / BLOCK))?.states[number % BLOCK] ?? UNKNOWN;
  }

  /**
   * The same, but what a source did not send is missing, although there is silence in its place.
   *
   * @param {number} number
   */
  shown(number) {
    const state = this.state(number);
    return state === RECEIVED && this.#isAbsent(number) ? MISSING : state;
  }

  /** @param {number} number */
  #isAbsent(number) {
    return this.#absences.some(({ from, to, isExact }) => {
      if (number >= from && number < to) return true;
      if (isExact) return false;
      // That nothing comes is noticed some time later, and said some time after it has ended.
      const isNear = number >= from - BEFORE && number < to + AFTER;
      return isNear && this.peak(number) < SILENCE;
    });
  }

  /**
   * The source has sent nothing since this step.
   *
   * @param {number} from
   */
  absentFrom(from) {
    const last = this.#absences.at(-1);
    if (last && !last.isExact && last.to > from) return;
    this.#absences.push({ from, to: Infinity, isExact: false });
    this.#forget();
    this.#changed = Math.min(this.#changed, from - BEFORE);
  }

  /**
   * The source sends again since this step.
   *
   * @param {number} to
   */
  absentUntil(to) {
    const last = this.#absences.at(-1);
    if (!last || last.to < Infinity) return;
    last.to = to;
    this.#changed = Math.min(this.#changed, to);
  }

  /**
   * The source sent nothing between exactly these steps.
   *
   * @param {number} from
   * @param {number} to
   */
  absent(from, to) {
    const known = this.#absences.find((one) => one.isExact && from <= one.to && to >= one.from);
    if (known && from >= known.from && to <= known.to) return;
    if (known) {
      known.from = Math.min(known.from, from);
      known.to = Math.max(known.to, to);
    } else {
      // One that has not ended yet stays the last one.
      const isOpen = this.#absences.at(-1)?.to === Infinity;
      this.#absences.splice(this.#absences.length - (isOpen ? 1 : 0), 0, { from, to, isExact: true });
      this.#forget();
    }
    this.#changed = Math.min(this.#changed, from);
  }

  // The absence that ended first.
  #forget() {
    if (this.#absences.length <= ABSENCES) return;
    const oldest = Math.min(...this.#absences.map(({ to }) => to));
    this.#absences = this.#absences.filter(({ to }) => to > oldest);
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
    const at = (number % BLOCK) * this.bins;
    return this.#block(number).spectra.subarray(at, at + this.bins);
  }

  /**
   * The largest amplitude within a step, or 0.
   *
   * @param {number} number
   */
  peak(number) {
    return this.state(number) === RECEIVED ? this.#block(number).peaks[number % BLOCK] : 0;
  }

  /** @param {number} number */
  #block(number) {
    const index = Math.floor(number / BLOCK);
    const known = this.#blocks.get(index);
    if (known) return known;
    for (const other of this.#blocks.keys()) {
      if ((other + 1) * BLOCK <= this.end - this.kept) this.#blocks.delete(other);
    }
    const block = {
      spectra: new Uint8ClampedArray(BLOCK * this.bins),
      states: new Uint8Array(BLOCK),
      peaks: new Float32Array(BLOCK),
    };
    this.#blocks.set(index, block);
    return block;
  }
}
