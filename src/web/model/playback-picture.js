// @ts-check
// The picture of what is played, where this page does not get the packets: a step for each sixtieth of a second.

import { LOUDEST, QUIETEST } from "../media/spectrum.js";
import { Columns, RATE } from "./columns.js";

export class PlaybackPicture {
  columns;
  /** Nothing was before. */
  past = null;

  #analyser;
  #samples;
  /** @type {number | null} */
  #begun = null;
  /** @type {number | null} */
  #origin = null; // when step 0 was

  /** @param {AnalyserNode | null} analyser Null if there is nothing to be seen of what is played. */
  constructor(analyser) {
    this.columns = new Columns(analyser?.frequencyBinCount ?? 1);
    this.#analyser = analyser;
    this.#samples = new Float32Array(analyser?.fftSize ?? 0);
    if (!analyser) return;
    analyser.minDecibels = QUIETEST;
    analyser.maxDecibels = LOUDEST;
  }

  /**
   * Adds the steps that are due, and returns the one that is heard. A hidden page gets no frames: what it missed is
   * missing.
   *
   * @param {number} now In milliseconds.
   * @param {number | null} wall When what is heard was recorded, as Unix time in milliseconds, or null if that is not
   *   known.
   */
  follow(now, wall) {
    const { columns } = this;
    this.#begun ??= now;
    const due = Math.floor(((now - this.#begun) * RATE) / 1000);
    this.#origin = wall === null ? null : wall - (due * 1000) / RATE;
    if (this.#analyser && due > columns.end) this.#add(due, this.#analyser);
    return columns.end;
  }

  /**
   * @param {number} due
   * @param {AnalyserNode} analyser
   */
  #add(due, analyser) {
    const { columns } = this;
    analyser.getFloatTimeDomainData(this.#samples);
    const peak = this.#samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    // A few that a busy machine missed look like the newest one.
    const first = due - columns.end > RATE / 2 ? due - 1 : columns.end;
    for (let number = first; number < due; number += 1) {
      const { buffer, byteOffset, length } = columns.put(number, peak);
      analyser.getByteFrequencyData(new Uint8Array(buffer, byteOffset, length));
    }
  }

  /**
   * The microphone's wall clock at a step, as Unix time in milliseconds, or null if that is not known.
   *
   * @param {number} step
   */
  time(step) {
    return this.#origin === null ? null : this.#origin + (step * 1000) / RATE;
  }
}
