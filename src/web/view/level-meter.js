// @ts-check
// The level meter: the present level, and the peak of the last seconds.

import { say } from "../model/language.js";
import { find, setText } from "./dom.js";

const FLOOR = -60;
// How long a peak is held, and how fast level and peak fall afterwards, in dB per second.
const HOLD = 1500;
const FALL = 24;

export class LevelMeter {
  #root;
  #bar;
  #peak;
  #figure;
  #level = FLOOR;
  #held = FLOOR;
  #since = 0;
  #last = 0;
  #said = 0;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    this.#bar = find(root, ".bar", HTMLElement);
    this.#peak = find(root, ".peak", HTMLElement);
    this.#figure = find(root, ".figure", HTMLElement);
  }

  /**
   * @param {number} now
   * @param {number} peak The present amplitude.
   */
  frame(now, peak) {
    const fallen = (Math.min(500, now - this.#last) / 1000) * FALL;
    this.#last = now;
    const level = peak > 0 ? Math.max(FLOOR, 20 * Math.log10(peak)) : FLOOR;
    this.#level = Math.max(level, this.#level - fallen);
    if (level >= this.#held) {
      this.#held = level;
      this.#since = now;
    } else if (now - this.#since > HOLD) {
      this.#held = Math.max(level, this.#held - fallen);
    }
    this.#bar.style.clipPath = `inset(0 ${100 - 100 * fraction(this.#level)}% 0 0)`;
    this.#peak.style.left = `${100 * fraction(this.#held)}%`;
    this.#peak.hidden = this.#held <= FLOOR;
    this.#root.classList.toggle("over", this.#held > -0.5);
    if (now - this.#said < 500) return;
    this.#said = now;
    const figure = this.#held <= FLOOR ? say("silence", "Stille") : `${Math.round(this.#held)} dB`;
    setText(this.#figure, figure);
    this.#root.setAttribute("aria-valuenow", String(Math.round(this.#held)));
    this.#root.setAttribute("aria-valuetext", figure);
  }

  /** Shows silence at once. */
  clear() {
    this.#level = this.#held = FLOOR;
    this.#said = 0;
    this.frame(performance.now(), 0);
  }
}

/** @param {number} level */
function fraction(level) {
  return Math.max(0, Math.min(1, 1 - level / FLOOR));
}
