// @ts-check
// Small pictures of all microphones, for the wall.
//
// A stream for each would take more connections than a browser opens. So the newest seconds of one microphone after the
// other are fetched from the server's memory, of those that are on the screen, and only while the page is.

import { addClip } from "../model/add-clip.js";
import { Columns } from "../model/columns.js";
import { say } from "../model/language.js";
import { decibels } from "../media/spectrum.js";
import { suited } from "./contrast.js";
import { find, setText } from "./dom.js";
import { palette } from "./palette.js";
import { Scale } from "./scale.js";
import { Strip } from "./strip.js";
import { isDark } from "./theme.js";

// Steps per second, and samples of a step.
const RATE = 30;
const STEP = 48_000 / RATE;
// Seconds that are shown.
const SPAN = 12;
// Between two requests for a microphone, and between two looks whether one is due, in milliseconds.
const INTERVAL = 4_000;
const LOOKS = 250;
const NYQUIST = 24_000;

/** @typedef {import("../model/mounts.js").Mount} Mount */

export class Thumbnails {
  #listening;
  #mounts;
  /** @type {Map<string, Thumbnail>} */
  #all = new Map();
  /** @type {Set<Element>} */
  #seen = new Set();
  #observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.#seen.add(target);
      else this.#seen.delete(target);
    }
  });
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #busy = false;

  /**
   * @param {import("../model/listening.js").Listening} listening
   * @param {import("../model/mounts.js").Mounts} mounts
   */
  constructor(listening, mounts) {
    this.#listening = listening;
    this.#mounts = mounts;
  }

  /** @param {boolean} on Whether they are shown. */
  set on(on) {
    clearInterval(this.#timer);
    if (on) this.#timer = setInterval(() => this.#look(), LOOKS);
  }

  /**
   * Adds what a microphone is shown in.
   *
   * @param {string} name
   * @param {HTMLElement} element With a canvas and a level.
   */
  add(name, element) {
    this.#all.set(name, new Thumbnail(element));
    this.#observer.observe(element);
  }

  /** @param {string} name */
  remove(name) {
    const thumbnail = this.#all.get(name);
    if (!thumbnail) return;
    this.#observer.unobserve(thumbnail.element);
    this.#seen.delete(thumbnail.element);
    this.#all.delete(name);
  }

  // The one that has waited longest.
  async #look() {
    if (this.#busy || document.hidden) return;
    const now = performance.now();
    const due = [...this.#all]
      .filter(([name, { element, asked }]) => this.#seen.has(element) && this.#canAsk(name) && now - asked >= INTERVAL)
      .sort(([, a], [, b]) => a.asked - b.asked);
    const [name, thumbnail] = due[0] ?? [];
    const mount = name && this.#mounts.all.get(name);
    if (!mount || !thumbnail) return;
    this.#busy = true;
    const memory = this.#listening.memory(mount);
    await thumbnail.update(memory, this.#mounts.clock(mount.name), now).catch(() => {});
    this.#busy = false;
  }

  /** @param {string} name */
  #canAsk(name) {
    const mount = this.#mounts.all.get(name);
    return mount?.codec === "Opus" && this.#listening.mayHear(mount);
  }
}

class Thumbnail {
  /** When it was last asked for. */
  asked = -Infinity;

  #canvas;
  #level;
  #context;
  #strip = new Strip();
  #columns = new Columns(1024);
  #range = { floor: -110, ceiling: -40 };

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.#canvas = find(element, "canvas", HTMLCanvasElement);
    this.#level = find(element, ".level", HTMLElement);
    this.#context = this.#canvas.getContext("2d");
    this.#columns.kept = 2 * SPAN * RATE;
  }

  /**
   * @param {import("../model/past.js").Memory} memory
   * @param {import("../model/clock.js").LiveClock} clock
   * @param {number} now
   */
  async update(memory, clock, now) {
    this.asked = now;
    // What is not known yet, and what may come before the answer.
    const missing = ((clock.live(now) ?? Infinity) / STEP - this.#columns.end) / RATE;
    const clip = await memory.clip(`clip=${Math.max(1, Math.min(SPAN, Math.ceil(missing + 2)))}s`);
    const granule = clip && clock.granule(clip.date);
    if (!clip || granule === null) return;
    if (granule / STEP < this.#columns.end - 2 * SPAN * RATE) {
      // The server was started again.
      this.#columns = new Columns(1024);
      this.#columns.kept = 2 * SPAN * RATE;
    }
    await addClip(this.#columns, clip, granule, STEP);
    this.#draw();
  }

  #draw() {
    const [canvas, columns, context] = [this.#canvas, this.#columns, this.#context];
    if (!context) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const counts = new Uint32Array(256);
    let peak = 0;
    for (let number = Math.max(columns.begin, columns.end - SPAN * RATE); number < columns.end; number += 1) {
      if (number >= columns.end - RATE) peak = Math.max(peak, columns.peak(number));
      if (number % 4 === 0) for (const value of columns.column(number)) counts[value] += 1;
    }
    this.#range = suited(counts, this.#range, decibels);
    const colours = palette("viridis", isDark());
    const look = { scale: new Scale("linear", 0, NYQUIST), nyquist: NYQUIST, range: this.#range, palette: colours };
    this.#strip.begin(columns, SPAN * RATE, canvas.width, canvas.height, look);
    this.#strip.draw(context, 0, 0, columns.end);
    setText(this.#level, peak > 0 ? `${Math.round(20 * Math.log10(peak))} dB` : say("silence", "Stille"));
  }
}
