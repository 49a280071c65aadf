// @ts-check
// The spectrogram of a stream by its granule positions: for each step of time a spectrum, or that there is none. Pure.
//
// What is shown is a matter of where a sample is in the stream, and not of when it was played. So it is the same at any
// speed of playback, in a tab that was hidden, and when it arrives late.

import { Spectrum } from "../media/spectrum.js";

/** Samples of a step, at 48 kHz: sixty steps are a second. */
export const STEP = 800;
const SIZE = 2048;

/** Nothing is known of the step; nothing of it was received; it has a spectrum. */
export const UNKNOWN = 0;
export const MISSING = 1;
export const RECEIVED = 2;

export class Columns {
  /** The number of the first step that nothing is known of yet: after all others. */
  end = 0;

  #spectrum = new Spectrum(SIZE);
  #kept;
  #bytes;
  #states;
  #peaks;
  /** The samples that a spectrum may still need, and the granule of the first of them. */
  #samples = new Float32Array(4 * SIZE);
  #length = 0;
  #begin = 0;

  /** @param {number} kept How many steps are kept. */
  constructor(kept) {
    this.#kept = kept;
    this.#bytes = new Uint8Array(kept * this.#spectrum.bins);
    this.#states = new Uint8Array(kept);
    this.#peaks = new Float32Array(kept);
  }

  get bins() {
    return this.#spectrum.bins;
  }

  /**
   * Adds samples. They are expected to follow each other; what is between them is missing, and what comes again is left.
   *
   * @param {Float32Array} samples
   * @param {number} granule Of the first one.
   */
  add(samples, granule) {
    const next = this.#begin + this.#length;
    if (granule !== next) {
      if (granule < next && granule + samples.length > this.#begin) return;
      this.#begin = granule;
      this.#length = 0;
    }
    for (let from = 0; from < samples.length;) {
      const room = this.#samples.length - this.#length;
      const part = samples.subarray(from, from + room);
      this.#samples.set(part, this.#length);
      this.#length += part.length;
      from += part.length;
      this.#analyse();
    }
  }

  // Each step that has all its samples: the spectrum is that of the moment around its middle.
  #analyse() {
    const before = (SIZE - STEP) / 2;
    let number = Math.max(Math.ceil((this.#begin + before) / STEP), 0);
    for (;;) {
      const at = number * STEP - before - this.#begin;
      if (at + SIZE > this.#length) break;
      this.#fill(number);
      this.#spectrum.write(this.#samples, at, this.column(number));
      this.#peaks[this.#place(number)] = peak(this.#samples.subarray(at + before, at + before + STEP));
      number += 1;
    }
    const used = Math.min(this.#length, Math.max(0, number * STEP - before - this.#begin));
    this.#samples.copyWithin(0, used, this.#length);
    this.#length -= used;
    this.#begin += used;
  }

  /** @param {number} number A step that has a spectrum now. */
  #fill(number) {
    // What was skipped has none, and what is older than all that is kept makes a new beginning.
    const first = Math.max(this.end, number - this.#kept);
    for (let missing = first; missing < number; missing += 1) this.#states[this.#place(missing)] = MISSING;
    this.#states[this.#place(number)] = RECEIVED;
    this.end = Math.max(this.end, number + 1);
  }

  /** @param {number} number */
  state(number) {
    return number < this.end && number >= this.end - this.#kept && number >= 0 ? this.#states[this.#place(number)] : UNKNOWN;
  }

  /** @param {number} number */
  column(number) {
    const at = this.#place(number) * this.bins;
    return this.#bytes.subarray(at, at + this.bins);
  }

  /**
   * The largest amplitude within a step; 0 if it has no samples.
   *
   * @param {number} number
   */
  peak(number) {
    return this.state(number) === RECEIVED ? this.#peaks[this.#place(number)] : 0;
  }

  /** @param {number} number */
  #place(number) {
    return number % this.#kept;
  }
}

/** @param {Float32Array} samples */
function peak(samples) {
  let most = 0;
  for (const sample of samples) most = Math.max(most, Math.abs(sample));
  return most;
}
