// @ts-check
// A part of the past that is heard again, in place of what is live.

import { file } from "../media/container.js";
import { STEP } from "./steps.js";

const RATE = 48_000;

export class Replay {
  #sound;
  #skipped;
  #begin;

  /**
   * @param {import("../media/sound.js").Sound} sound
   * @param {import("../media/clip.js").Clip} clip
   * @param {number} granule Of its first sample.
   */
  constructor(sound, clip, granule) {
    this.#sound = sound;
    this.#skipped = clip.head.preSkip / RATE;
    this.#begin = granule / STEP;
    this.file = file(clip.head, clip.packets);
  }

  /**
   * Plays it. Resolves at its end.
   *
   * @param {{ low: number, high: number }} band The frequencies that are heard, in Hz.
   */
  play(band) {
    return this.#sound.playPast(this.file, this.#skipped, band);
  }

  /** The step that is heard, with its fraction. */
  get step() {
    return this.#begin + ((this.#sound.pastTime - this.#skipped) * RATE) / STEP;
  }
}
