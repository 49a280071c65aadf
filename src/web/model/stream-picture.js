// @ts-check
// The picture of a stream: its packets, decoded apart from playback, at their place in the stream.
//
// What is shown is a matter of where a sample is in the stream, and not of when it was played. So it is the same at any
// speed of playback, in a tab that was hidden, and when it arrives late.

import { decoder } from "../media/decoder.js";
import { sameDecoder } from "../media/opus.js";
import { Spectrum } from "../media/spectrum.js";
import { Columns, RATE } from "./columns.js";

/**
 * @typedef {import("../media/opus.js").Head} Head
 * @typedef {import("../media/opus.js").Packet} Packet
 */

/** Samples of a step, at 48 kHz. */
export const STEP = 48_000 / RATE;
// Samples of a spectrum: those around the middle of its step.
const SIZE = 2048;
const BEFORE = (SIZE - STEP) / 2;

export class StreamPicture {
  columns = new Columns(SIZE / 2);

  /** @type {import("../media/decoder.js").Decoder | null} */
  #decoder = null;
  /** @type {Head | null} */
  #head = null;
  #steps = new Steps(this.columns);

  /** @param {Head} head Of the packets that follow. */
  head(head) {
    if (this.#head && sameDecoder(this.#head, head)) return;
    this.#head = head;
    this.#decoder?.close();
    this.#decoder = decoder(head, (samples, granule) => this.#steps.add(samples, granule));
  }

  /**
   * @param {Packet[]} packets
   * @param {number} granule
   */
  packets(packets, granule) {
    this.#decoder?.packets(packets, granule);
  }

  /**
   * Adds what was before.
   *
   * @param {import("../media/clip.js").Clip} clip
   * @param {number} granule Of its first sample that is heard.
   */
  fill({ head, packets }, granule) {
    // What is newer goes on meanwhile.
    const steps = new Steps(this.columns);
    const first = granule - head.preSkip;
    const past = decoder(head, (samples, begin) => steps.add(heardFrom(granule, samples, begin), Math.max(begin, granule)));
    past.packets(packets, first);
    past.flush();
  }

  close() {
    this.#decoder?.close();
  }
}

/**
 * Samples without those before this granule, which only prepare a decoder.
 *
 * @param {number} granule
 * @param {Float32Array} samples
 * @param {number} begin Where they begin.
 */
function heardFrom(granule, samples, begin) {
  return begin >= granule ? samples : samples.subarray(Math.min(samples.length, granule - begin));
}

/** Makes columns of samples. */
export class Steps {
  #columns;
  #spectrum = new Spectrum(SIZE);
  // The samples that a spectrum may still need, and the granule of the first of them.
  #samples = new Float32Array(4 * SIZE);
  #length = 0;
  #begin = 0;

  /** @param {Columns} columns */
  constructor(columns) {
    this.#columns = columns;
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
    let number = Math.max(0, Math.ceil((this.#begin + BEFORE) / STEP));
    let at = number * STEP - BEFORE - this.#begin;
    for (; at + SIZE <= this.#length; at += STEP) {
      const step = this.#samples.subarray(at + BEFORE, at + BEFORE + STEP);
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
