// @ts-check
// Makes columns of samples: a spectrum for each step of a stream. Pure.

import { Spectrum } from "../media/spectrum.js";
import { RATE } from "./columns.js";

/** Samples of a step, at 48 kHz. */
export const STEP = 48_000 / RATE;
/** Samples of a spectrum: those around the middle of its step. */
export const SIZE = 2048;

export class Steps {
  #columns;
  #step;
  #before; // samples of a spectrum before its step
  #spectrum = new Spectrum(SIZE);
  // The samples that a spectrum may still need, and the granule of the first of them.
  #samples = new Float32Array(4 * SIZE);
  #length = 0;
  #begin = 0;

  /**
   * @param {import("./columns.js").Columns} columns
   * @param {number} step Samples of a step.
   */
  constructor(columns, step = STEP) {
    this.#columns = columns;
    this.#step = step;
    this.#before = (SIZE - step) / 2;
  }

  /**
   * Adds samples, which usually follow each other. What comes again is left out.
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
      const part = samples.subarray(from, from + this.#samples.length - this.#length);
      this.#samples.set(part, this.#length);
      this.#length += part.length;
      from += part.length;
      this.#analyse();
    }
  }

  // Each step that has all its samples.
  #analyse() {
    const [length, before] = [this.#step, this.#before];
    let number = Math.max(0, Math.ceil((this.#begin + before) / length));
    let at = number * length - before - this.#begin;
    for (; at + SIZE <= this.#length; at += length) {
      const step = this.#samples.subarray(at + before, at + before + length);
      this.#spectrum.write(this.#samples, at, this.#columns.put(number, peak(step)));
      number += 1;
    }
    const used = Math.min(at, this.#length);
    this.#samples.copyWithin(0, used, this.#length);
    this.#length -= used;
    this.#begin += used;
  }
}

/** @param {Float32Array} samples */
function peak(samples) {
  let most = 0;
  for (const sample of samples) most = Math.max(most, Math.abs(sample));
  return most;
}
