// @ts-check
// Gain, even loudness and filters, which are remembered for each microphone.

import { NEUTRAL } from "../media/hearing.js";
import { recall, remember } from "../model/preferences.js";
import { setText } from "./dom.js";

/** @typedef {import("../media/hearing.js").Settings} Settings */

export class HearingControls {
  #part;
  #listening;
  /** @type {string | null} */
  #name = null;

  /**
   * @param {import("./picture-controls.js").Part} part
   * @param {import("../model/listening.js").Listening} listening
   */
  constructor(part, listening) {
    this.#part = part;
    this.#listening = listening;
    part("hearing", HTMLElement).addEventListener("input", () => this.#apply());
  }

  /**
   * Shows and applies what is remembered of a microphone.
   *
   * @param {string} name
   */
  show(name) {
    const { canChangeSound } = this.#listening;
    this.#part("no-hearing", HTMLElement).hidden = canChangeSound;
    for (const control of this.#part("hearing", HTMLElement).querySelectorAll("input, select")) {
      control.toggleAttribute("disabled", !canChangeSound);
    }
    if (name === this.#name) return;
    this.#name = name;
    const { gain, even, highPass, lowPass } = { ...NEUTRAL, ...recall(`hearing ${name}`, NEUTRAL) };
    this.#part("gain", HTMLInputElement).valueAsNumber = gain;
    this.#part("even", HTMLSelectElement).value = even ? "even" : "";
    this.#part("high-pass", HTMLSelectElement).value = String(highPass);
    this.#part("low-pass", HTMLSelectElement).value = String(lowPass);
    this.#tell();
  }

  #apply() {
    if (this.#name !== null) remember(`hearing ${this.#name}`, this.#settings);
    this.#tell();
  }

  #tell() {
    setText(this.#part("gain-figure", HTMLElement), `${this.#settings.gain} dB`);
    this.#listening.hearing = this.#settings;
  }

  /** @returns {Settings} */
  get #settings() {
    return {
      gain: this.#part("gain", HTMLInputElement).valueAsNumber,
      even: this.#part("even", HTMLSelectElement).value === "even",
      highPass: Number(this.#part("high-pass", HTMLSelectElement).value),
      lowPass: Number(this.#part("low-pass", HTMLSelectElement).value),
    };
  }
}
