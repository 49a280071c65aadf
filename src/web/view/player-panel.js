// @ts-check
// The player panel: what is shown of the microphone that is heard, and the controls for it.
//
// The listening page has all of its parts, the embedded player some of them. It draws once per frame while something
// may be heard, and not otherwise.

import * as messages from "../model/messages.js";
import { RATE } from "../model/columns.js";
import { describe } from "../model/panel.js";
import { recall, remember } from "../model/preferences.js";
import { STATES } from "../model/states.js";
import { find, setText } from "./dom.js";
import { LevelMeter } from "./level-meter.js";
import { hertz } from "./scale.js";
import { saveSnapshot } from "./snapshot.js";
import { Spectrogram } from "./spectrogram.js";

/**
 * @typedef {import("../model/listening.js").Listening} Listening
 * @typedef {import("../model/mounts.js").Mount} Mount
 * @typedef {import("../model/mounts.js").Mounts} Mounts
 */

// From this many seconds on, the way back to live is offered.
const LATE = 1;
// By how many columns the picture may be off.
const EVEN = 6;
// Milliseconds between two updates of the figure.
const FIGURE = 500;

export class PlayerPanel {
  #root;
  #listening;
  #mounts;
  #play;
  #spectrogram;
  #meter;
  /**
   * What the play button plays.
   *
   * @type {Mount | null}
   */
  #chosen = null;
  /**
   * What the spectrogram shows.
   *
   * @type {import("../model/columns.js").Columns | null}
   */
  #columns = null;
  /** @type {number | null} */
  #edge = null;
  /** @type {number | null} */
  #wall = null;
  #figured = 0;
  #running = false;

  /**
   * @param {HTMLElement} root
   * @param {Listening} listening
   * @param {Mounts} mounts
   */
  constructor(root, listening, mounts) {
    this.#root = root;
    this.#listening = listening;
    this.#mounts = mounts;
    this.#play = this.#part("play", HTMLButtonElement);
    this.#spectrogram = new Spectrogram(this.#part("spectrogram", HTMLCanvasElement));
    this.#meter = new LevelMeter(this.#part("meter", HTMLElement));
    this.#controlPlayback();
    this.#controlVolume();
    this.#spectrogram.kind = recall("kind", /** @type {string} */ ("linear"));
    this.#spectrogram.range = { floor: recall("floor", -105), ceiling: recall("ceiling", -35) };
    if (this.#has("kind")) this.#controlView();
    this.#controlPreference();
    listening.addEventListener("change", () => this.show());
    mounts.addEventListener("change", () => this.show());
    this.show();
  }

  /** @param {Mount | null} mount */
  choose(mount) {
    this.#chosen = mount;
    this.show();
  }

  show() {
    const panel = describe(this.#listening, this.#chosen, this.#mounts);
    const state = this.#part("state", HTMLElement);
    setText(find(this.#root, "h1", HTMLElement), panel.name);
    if (this.#has("about")) setText(this.#part("about", HTMLElement), panel.about);
    setText(this.#play, panel.action === "listen" ? "Listen" : "Stop");
    this.#play.classList.toggle("on", panel.action === "stop");
    this.#play.disabled = !panel.enabled;
    setText(state, panel.message);
    state.dataset.tone = panel.tone;
    if (this.#has("preference")) this.#part("preference", HTMLElement).hidden = !panel.offersWebRtc;
    const { silent } = this.#listening;
    if (silent) this.#part("live", HTMLElement).hidden = true;
    if (!silent) this.#run();
  }

  /**
   * @template {HTMLElement} T
   * @param {string} name
   * @param {new () => T} type
   */
  #part(name, type) {
    return find(this.#root, `[data-part="${name}"]`, type);
  }

  /** @param {string} name */
  #has(name) {
    return this.#root.querySelector(`[data-part="${name}"]`) !== null;
  }

  #run() {
    if (this.#running) return;
    this.#running = true;
    const frame = (/** @type {number} */ now) => {
      const view = STATES[this.#listening.state].sounds ? this.#listening.see(now) : null;
      if (view) this.#show(view, now);
      else this.#meter.frame(now, 0);
      if (now - this.#figured > FIGURE) {
        this.#figured = now;
        this.#showFigure();
      }
      this.#running = !this.#listening.silent;
      if (this.#running) requestAnimationFrame(frame);
      else this.#meter.clear();
    };
    requestAnimationFrame(frame);
  }

  /**
   * @param {import("../model/delivery.js").View} view
   * @param {number} now
   */
  #show({ columns, edge }, now) {
    if (columns !== this.#columns) {
      this.#columns = columns;
      this.#edge = null;
      this.#spectrogram.begin(columns, (this.#listening.sound?.rate ?? 48_000) / 2);
    }
    if (edge === null) return;
    const exact = edge - (now * RATE) / 1000;
    // It moves evenly, and is corrected when it is off.
    if (this.#edge === null || Math.abs(this.#edge - exact) > EVEN) this.#edge = exact;
    const step = this.#edge + (now * RATE) / 1000;
    this.#spectrogram.frame(now, step, this.#time(now));
    this.#meter.frame(now, columns.peak(Math.min(Math.floor(step), columns.end) - 1));
  }

  /**
   * The wall clock of what is heard. It runs evenly, and is corrected when it is off.
   *
   * @param {number} now
   */
  #time(now) {
    const wall = this.#listening.wall();
    if (this.#wall === null || Math.abs(this.#wall + now - wall) > 150) this.#wall = wall - now;
    return this.#wall + now;
  }

  #showFigure() {
    const live = this.#part("live", HTMLElement);
    const toLive = this.#part("to-live", HTMLButtonElement);
    const seconds = this.#listening.behind();
    live.hidden = seconds === null;
    if (seconds === null) return;
    setText(this.#part("behind", HTMLElement), messages.behind(seconds));
    live.classList.toggle("late", seconds > LATE);
    // WebRTC keeps nothing that could be skipped.
    const canSkip = seconds > LATE && this.#listening.how.kind !== "webrtc";
    // The button vanishes: the keyboard's focus must not.
    if (!canSkip && document.activeElement === toLive) this.#play.focus();
    toLive.hidden = !canSkip;
  }

  #controlPlayback() {
    this.#play.addEventListener("click", () => {
      if (!this.#listening.silent) this.#listening.stop();
      else if (this.#chosen) this.#listening.listen(this.#chosen);
    });
    this.#part("to-live", HTMLButtonElement).addEventListener("click", () => this.#listening.toLive());
  }

  #controlVolume() {
    const mute = this.#part("mute", HTMLButtonElement);
    const volume = this.#has("volume") ? this.#part("volume", HTMLInputElement) : null;
    let muted = false;
    const apply = () => {
      const loud = volume ? volume.valueAsNumber / 100 : 1;
      this.#listening.volume = muted ? 0 : loud;
      mute.setAttribute("aria-pressed", String(muted));
    };
    mute.addEventListener("click", () => {
      muted = !muted;
      apply();
    });
    if (volume) {
      volume.valueAsNumber = recall("volume", 100);
      volume.addEventListener("input", () => {
        muted = false;
        remember("volume", volume.valueAsNumber);
        apply();
      });
    }
    apply();
  }

  #controlPreference() {
    const apply = () => {
      this.#listening.preference = recall("prefer", /** @type {string} */ ("sound")) === "picture" ? "picture" : "sound";
    };
    apply();
    if (!this.#has("prefer")) return;
    const prefer = this.#part("prefer", HTMLSelectElement);
    prefer.value = recall("prefer", "sound");
    prefer.addEventListener("change", () => {
      remember("prefer", prefer.value);
      apply();
    });
  }

  #controlView() {
    const spectrogram = this.#spectrogram;
    const kind = this.#part("kind", HTMLSelectElement);
    kind.value = spectrogram.kind;
    kind.addEventListener("change", () => {
      remember("kind", kind.value);
      spectrogram.kind = kind.value;
    });
    for (const name of /** @type {const} */ (["floor", "ceiling"])) {
      const slider = this.#part(name, HTMLInputElement);
      const figure = this.#part(`${name}-figure`, HTMLElement);
      slider.valueAsNumber = spectrogram.range[name];
      setText(figure, `${slider.value} dB`);
      slider.addEventListener("input", () => {
        remember(name, slider.valueAsNumber);
        spectrogram.range = { ...spectrogram.range, [name]: slider.valueAsNumber };
        setText(figure, `${slider.value} dB`);
      });
    }
    const hold = this.#part("hold", HTMLButtonElement);
    hold.addEventListener("click", () => {
      spectrogram.paused = !spectrogram.paused;
      hold.setAttribute("aria-pressed", String(spectrogram.paused));
    });
    const canvas = this.#part("spectrogram", HTMLCanvasElement);
    this.#part("save", HTMLButtonElement).addEventListener("click", () => {
      saveSnapshot(canvas, find(this.#root, "h1", HTMLElement).textContent ?? "", spectrogram.wall);
    });
    const cursor = this.#part("cursor", HTMLElement);
    canvas.addEventListener("pointermove", (event) => {
      const place = spectrogram.at(event.offsetX, event.offsetY);
      const parts = place ? [hertz(place.frequency), place.time && messages.clock(place.time)] : [];
      setText(cursor, parts.filter(Boolean).join(" · "));
    });
    canvas.addEventListener("pointerleave", () => setText(cursor, ""));
  }
}
