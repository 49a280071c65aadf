// @ts-check
// The picture of what is played, where this page does not get the packets: a step for each sixtieth of a second.

import { LOUDEST, QUIETEST } from "../media/spectrum.js";
import { Columns, RATE } from "./columns.js";

export class PlaybackPicture {
  columns;

  #analyser;
  #samples;
  /** @type {number | null} */
  #begun = null;

  /** @param {AnalyserNode} analyser */
  constructor(analyser) {
    this.columns = new Columns(analyser.frequencyBinCount);
    this.#analyser = analyser;
    this.#samples = new Float32Array(analyser.fftSize);
    analyser.minDecibels = QUIETEST;
    analyser.maxDecibels = LOUDEST;
  }

  /**
   * Adds the steps that are due. A hidden page gets no frames: what it missed is missing.
   *
   * @param {number} now In milliseconds.
   */
  #add(now) {
    const { columns } = this;
    this.#begun ??= now;
    const due = Math.floor(((now - this.#begun) * RATE) / 1000);
    if (due <= columns.end) return;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const peak = this.#samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    // A few that a busy machine missed look like the newest one.
    const first = due - columns.end > RATE / 2 ? due - 1 : columns.end;
    for (let number = first; number < due; number += 1) {
      this.#analyser.getByteFrequencyData(columns.put(number, peak));
    }
  }

  /**
   * What is to be seen at `now`.
   *
   * @param {number} now
   */
  see(now) {
    this.#add(now);
    return { columns: this.columns, edge: this.columns.end };
  }
}
