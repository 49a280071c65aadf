// @ts-check
// Selecting a part of the spectrogram with a pointer, and what can be done with it.

import { RATE } from "../model/columns.js";
import { setText } from "./dom.js";
import { hertz } from "./scale.js";

// A pointer that moved less, in CSS pixels, was not meant to select.
const LEAST = 6;

/** @typedef {import("./spectrogram.js").Mark} Mark */

export class Selection {
  #part;
  #spectrogram;

  /**
   * @param {import("./picture-controls.js").Part} part
   * @param {import("./spectrogram.js").Spectrogram} spectrogram
   * @param {{ pause: () => void, play: (mark: Mark) => void, save: (mark: Mark) => void }} actions
   */
  constructor(part, spectrogram, { pause, play, save }) {
    this.#part = part;
    this.#spectrogram = spectrogram;
    const canvas = part("spectrogram", HTMLCanvasElement);
    /** @type {{ x: number, y: number } | null} */
    let begun = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !spectrogram.at(event.offsetX, event.offsetY)) return;
      begun = { x: event.offsetX, y: event.offsetY };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!begun || Math.hypot(event.offsetX - begun.x, event.offsetY - begun.y) < LEAST) return;
      if (!spectrogram.paused) pause();
      const corners = [spectrogram.nearest(begun.x, begun.y), spectrogram.nearest(event.offsetX, event.offsetY)];
      const [steps, frequencies] = [corners.map(({ step }) => step), corners.map(({ frequency }) => frequency)];
      this.#select({
        from: Math.min(...steps),
        to: Math.max(...steps),
        low: Math.min(...frequencies),
        high: Math.max(...frequencies),
      });
    });
    const end = () => {
      begun = null;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    const on = (/** @type {string} */ name, /** @type {(mark: Mark) => void} */ work) =>
      part(name, HTMLButtonElement).addEventListener("click", () => {
        if (spectrogram.selection) work(spectrogram.selection);
      });
    on("play-selected", play);
    on("save-selected", save);
    on("unselect", () => this.#select(null));
  }

  /** Follows the spectrogram, which ends a selection by itself. */
  show() {
    const { selection } = this.#spectrogram;
    this.#part("selected", HTMLElement).hidden = selection === null;
    if (!selection) return;
    const seconds = ((selection.to - selection.from) / RATE).toFixed(1);
    const text = `${seconds} s · ${hertz(selection.low)} – ${hertz(selection.high)}`;
    setText(this.#part("selected-figure", HTMLElement), text);
  }

  /** @param {Mark | null} mark */
  #select(mark) {
    this.#spectrogram.selection = mark;
    this.#spectrogram.draw();
    this.show();
  }
}
