// @ts-check
// The controls of the spectrogram: what is shown of time, frequency and loudness, pausing, moving back, saving.

import * as messages from "../model/messages.js";
import { RATE } from "../model/columns.js";
import { recall, remember } from "../model/preferences.js";
import { setText } from "./dom.js";
import { PALETTES } from "./palette.js";
import { hertz } from "./scale.js";
import { saveSnapshot } from "./snapshot.js";

// The highest frequencies that can be chosen; any other word is for all.
const HIGHEST = new Map([["birds", 12_000], ["low", 2_000]]);

/**
 * The parts of a panel, by name.
 *
 * @typedef {<T extends HTMLElement>(name: string, type: new () => T) => T} Part
 */

export class PictureControls {
  #part;
  #spectrogram;
  #hold;
  #scroll;

  /**
   * @param {Part} part
   * @param {import("./spectrogram.js").Spectrogram} spectrogram
   * @param {() => string} name Of the microphone that is shown.
   */
  constructor(part, spectrogram, name) {
    this.#part = part;
    this.#spectrogram = spectrogram;
    this.#hold = part("hold", HTMLButtonElement);
    this.#scroll = part("scroll", HTMLInputElement);
    this.#select("span", "20", (value) => this.#show(value));
    this.#select("band", "all", (value) => spectrogram.set({ band: { low: 0, high: HIGHEST.get(value) ?? Infinity } }));
    this.#select("kind", "linear", (kind) => spectrogram.set({ kind }));
    this.#select("palette", PALETTES[0], (value) => {
      spectrogram.set({ palette: PALETTES.find((one) => one === value) ?? PALETTES[0] });
    });
    this.#controlContrast();
    this.#hold.addEventListener("click", () => this.pause(!spectrogram.paused));
    this.#scroll.addEventListener("input", () => {
      spectrogram.end = this.#live + this.#scroll.valueAsNumber * RATE;
      this.#moved();
    });
    this.#controlCanvas();
    part("save", HTMLButtonElement).addEventListener("click", () => saveSnapshot(spectrogram, name()));
    this.#controlFullScreen();
  }

  /** The step that the picture was at when it was paused. */
  #live = 0;

  /** @param {boolean} paused */
  pause(paused) {
    const spectrogram = this.#spectrogram;
    spectrogram.paused = paused;
    this.#live = spectrogram.end;
    this.#hold.setAttribute("aria-pressed", String(paused));
    this.#part("scroll-line", HTMLElement).hidden = !paused;
    this.#moved();
  }

  // What can be moved back to grows as more becomes known.
  #moved() {
    const spectrogram = this.#spectrogram;
    const back = spectrogram.length / RATE - spectrogram.view.span;
    this.#scroll.min = String(Math.min(-0.1, -back));
    this.#scroll.valueAsNumber = (spectrogram.end - this.#live) / RATE;
    this.#scroll.setAttribute("aria-valuetext", messages.ago((this.#live - spectrogram.end) / RATE));
  }

  /**
   * Moves a paused picture, and pauses it first.
   *
   * @param {number} seconds
   */
  move(seconds) {
    const spectrogram = this.#spectrogram;
    if (!spectrogram.paused) this.pause(true);
    spectrogram.end += seconds * RATE;
    this.#moved();
  }

  /** @param {string} span */
  async #show(span) {
    const spectrogram = this.#spectrogram;
    if (span !== "all") {
      spectrogram.set({ span: Number(span) || 20 });
      return;
    }
    await spectrogram.measure();
    spectrogram.set({ span: Math.max(20, Math.ceil(spectrogram.length / RATE)) });
  }

  /** A microphone is shown that was not shown before. */
  begin() {
    this.pause(false);
    const { value } = this.#part("span", HTMLSelectElement);
    if (value === "all") this.#show(value);
  }

  /**
   * @param {string} name
   * @param {string} otherwise
   * @param {(value: string) => unknown} apply
   */
  #select(name, otherwise, apply) {
    const select = this.#part(name, HTMLSelectElement);
    select.value = recall(name, otherwise);
    if (!select.value) select.value = otherwise;
    apply(select.value);
    select.addEventListener("change", () => {
      remember(name, select.value);
      apply(select.value);
    });
  }

  #controlContrast() {
    const spectrogram = this.#spectrogram;
    const ends = /** @type {const} */ (["floor", "ceiling"]);
    const slider = (/** @type {string} */ name) => this.#part(name, HTMLInputElement);
    const follow = () => {
      const { range } = spectrogram;
      for (const name of ends) {
        slider(name).valueAsNumber = range[name];
        setText(this.#part(`${name}-figure`, HTMLElement), `${range[name]} dB`);
      }
    };
    for (const name of ends) {
      slider(name).addEventListener("input", () => {
        const range = { ...spectrogram.range, [name]: slider(name).valueAsNumber };
        // They keep their order.
        if (range.ceiling <= range.floor) range[name === "floor" ? "ceiling" : "floor"] = range[name] + (name === "floor" ? 5 : -5);
        remember("range", range);
        spectrogram.set({ range });
        follow();
      });
    }
    this.#select("contrast", "auto", (value) => {
      const isManual = value === "manual";
      spectrogram.set({ range: isManual ? recall("range", spectrogram.range) : null });
      for (const name of ends) this.#part(`${name}-line`, HTMLElement).hidden = !isManual;
      follow();
    });
  }

  #controlCanvas() {
    const [spectrogram, canvas] = [this.#spectrogram, this.#part("spectrogram", HTMLCanvasElement)];
    const cursor = this.#part("cursor", HTMLElement);
    canvas.addEventListener("pointermove", (event) => {
      const place = spectrogram.at(event.offsetX, event.offsetY);
      const parts = place ? [hertz(place.frequency), place.time && messages.clock(place.time)] : [];
      setText(cursor, parts.filter(Boolean).join(" · "));
    });
    canvas.addEventListener("pointerleave", () => setText(cursor, ""));
    canvas.addEventListener("wheel", (event) => {
      // Up and down is for the page.
      if (Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
      event.preventDefault();
      this.move((event.deltaX / canvas.clientWidth) * spectrogram.view.span);
    }, { passive: false });
  }

  #controlFullScreen() {
    const button = this.#part("full-screen", HTMLButtonElement);
    button.hidden = !document.fullscreenEnabled;
    button.addEventListener("click", () => this.toggleFullScreen());
  }

  toggleFullScreen() {
    const picture = this.#part("spectrogram", HTMLCanvasElement).parentElement;
    const changed = document.fullscreenElement ? document.exitFullscreen() : picture?.requestFullscreen?.();
    changed?.catch(() => {});
  }
}
