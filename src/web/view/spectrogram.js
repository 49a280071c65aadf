// @ts-check
// The live spectrogram, moving with what is heard.
//
// What is heard is at the right edge, until it is paused; then it can be moved back as far as something is known. What is
// shown of time and frequency, the colours and the contrast can be changed at any time. What was not received has
// stripes, which are neither silence nor a sound. Where reduced motion is preferred, it moves once per second.

import { decibels } from "../media/spectrum.js";
import { RATE, RECEIVED } from "../model/columns.js";
import { drawAxes, MARGIN } from "./axes.js";
import { suited } from "./contrast.js";
import { palette } from "./palette.js";
import { Scale } from "./scale.js";
import { Strip } from "./strip.js";
import { isDark, onThemeChange } from "./theme.js";

// Milliseconds between two updates: thirty a second move smoothly, and more would take twice the work. Where reduced
// motion is preferred, one.
const MOVING = 30;
const STILL = 1000;
// Between two looks at the contrast.
const CONTRAST = 1000;
// Of these columns, one is looked at for the contrast.
const SAMPLED = 8;

const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * What is marked: a time, as steps, and frequencies.
 *
 * @typedef {object} Mark
 * @property {number} from
 * @property {number} to
 * @property {number} low In Hz.
 * @property {number} high
 * @property {string} [label]
 */

/** @typedef {import("../model/delivery.js").Picture} Picture */

/** What is shown of a picture. */
const VIEW = {
  kind: "linear",
  /** Seconds from the left to the right edge. */
  span: 20,
  /** Frequencies in Hz; those above the highest that there is do not count. */
  band: { low: 0, high: Infinity },
  /** @type {import("./palette.js").PaletteName} */
  palette: "viridis",
  /**
   * The loudness of the first and the last colour; null to follow what is shown.
   *
   * @type {import("./contrast.js").Range | null}
   */
  range: null,
};

/** @typedef {typeof VIEW} View */

export class Spectrogram {
  /**
   * What a person has selected.
   *
   * @type {Mark | null}
   */
  selection = null;
  /**
   * What is marked besides.
   *
   * @type {Mark[]}
   */
  marks = [];
  /**
   * The step that is heard again while the picture is paused.
   *
   * @type {number | null}
   */
  playhead = null;

  #context;
  #strip = new Strip();
  /** @type {Picture | null} */
  #picture = null;
  /** @type {import("../model/columns.js").Columns | null} */
  #columns = null;
  #nyquist = 24_000;
  #view = VIEW;
  #range = { floor: -110, ceiling: -40 };
  #scale = new Scale("linear", 0, 24_000);
  #palette = palette("viridis", true);
  #edge = 0; // the step at the right edge, with its fraction
  /**
   * The same while it is paused.
   *
   * @type {number | null}
   */
  #held = null;
  #next = 0; // when it may be drawn again
  #judged = 0; // when the contrast was looked at
  #size = { width: 0, height: 0, ratio: 1 };
  #style = { font: "", ink: "" };

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser has no canvas");
    /** What it is drawn on. */
    this.canvas = canvas;
    this.#context = context;
    new ResizeObserver(() => this.#fit()).observe(canvas);
    onThemeChange(() => this.#restyle());
    this.#fit();
  }

  /**
   * Shows this picture from now on, or none.
   *
   * @param {Picture | null} picture
   * @param {number} nyquist
   */
  begin(picture, nyquist) {
    this.#picture = picture;
    this.#nyquist = nyquist;
    this.#held = null;
    this.selection = null;
    this.playhead = null;
    this.#edge = picture?.columns.end ?? 0;
    this.#judged = 0;
    this.#restyle();
  }

  /** Asks the server how much it has. */
  async measure() {
    await this.#picture?.past?.measure();
  }

  get view() {
    return this.#view;
  }

  /** @param {Partial<View>} change */
  set(change) {
    this.#view = { ...this.#view, ...change };
    if (change.range !== undefined) this.#judged = 0;
    this.#restyle();
    this.#reach();
  }

  /** The loudness of the first and the last colour, in dB. */
  get range() {
    return this.#view.range ?? this.#range;
  }

  get paused() {
    return this.#held !== null;
  }

  set paused(paused) {
    // What is not decoded yet would come later, while nothing may move.
    this.#held = paused ? Math.min(this.#edge, this.#picture?.columns.end ?? 0) : null;
    if (!paused) this.selection = null;
    this.draw();
  }

  /** The step at the right edge. */
  get end() {
    return this.#held ?? this.#edge;
  }

  /** Moves to this step, while it is paused: not further than to what is heard, and to what there is. */
  set end(end) {
    const shown = this.#view.span * RATE;
    const oldest = Math.max(0, this.#edge - this.length);
    this.#held = Math.max(Math.min(end, this.#edge), Math.min(this.#edge, oldest + shown));
    this.draw();
    this.#reach();
  }

  /** How many steps there are before what is heard. */
  get length() {
    const columns = this.#picture?.columns;
    return columns ? this.#picture?.past?.length ?? columns.end - columns.begin : 0;
  }

  /** Unix time at the right edge in milliseconds, or null if it is not known. */
  get wall() {
    return this.#picture?.time(this.end) ?? null;
  }

  /**
   * Moves to this step, and draws.
   *
   * @param {number} now
   * @param {number} edge
   */
  frame(now, edge) {
    this.#edge = edge;
    if (now < this.#next || (this.paused && this.playhead === null && now < this.#judged + CONTRAST)) return;
    const begun = performance.now();
    if (now > this.#judged + CONTRAST) {
      this.#judge(now);
      this.#reach();
    }
    this.draw();
    // On a slow machine, most of the time is left to the audio.
    const rest = (performance.now() - begun) * 3;
    this.#next = now + (still.matches ? STILL : Math.max(rest, MOVING));
  }

  /**
   * Time and frequency at a position on the canvas, or null outside of the plot.
   *
   * @param {number} x
   * @param {number} y
   */
  at(x, y) {
    const { width, height } = this.#plot();
    const [column, row] = [x - MARGIN.left, y - MARGIN.top];
    if (column < 0 || column > width || row < 0 || row > height) return null;
    return this.nearest(x, y);
  }

  /**
   * Time and frequency of the position in the plot that is nearest.
   *
   * @param {number} x
   * @param {number} y
   */
  nearest(x, y) {
    const { width, height } = this.#plot();
    const across = Math.max(0, Math.min(1, (x - MARGIN.left) / width));
    const up = 1 - Math.max(0, Math.min(1, (y - MARGIN.top) / height));
    const step = this.end - (1 - across) * this.#view.span * RATE;
    return { frequency: this.#scale.frequency(up), step, time: this.#picture?.time(step) ?? null };
  }

  #plot() {
    return {
      left: MARGIN.left,
      top: MARGIN.top,
      width: Math.max(1, Math.floor(this.#size.width - MARGIN.left - MARGIN.right)),
      height: Math.max(1, Math.floor(this.#size.height - MARGIN.top - MARGIN.bottom)),
    };
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.#size = { width, height, ratio };
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.#restyle();
  }

  // Paints all columns again.
  #restyle() {
    const { kind, band, span } = this.#view;
    const { width, height } = this.#plot();
    this.#palette = palette(this.#view.palette, isDark());
    const high = Math.min(this.#nyquist, band.high);
    this.#scale = new Scale(kind, Math.min(band.low, high / 2), high);
    this.#columns = this.#picture?.columns ?? null;
    const { font, color: ink } = getComputedStyle(this.canvas);
    this.#style = { font, ink };
    const look = { scale: this.#scale, nyquist: this.#nyquist, range: this.range, palette: this.#palette };
    const [across, down] = [width, height].map((length) => Math.round(length * this.#size.ratio));
    this.#strip.begin(this.#columns, span * RATE, across, down, look);
    this.draw();
  }

  /** Draws it as it is to be seen now. */
  draw() {
    const picture = this.#picture;
    // After a restart of the server, there are others.
    if (picture && picture.columns !== this.#columns) {
      this.#restyle();
      return;
    }
    const [plot, end, context, { ratio }] = [this.#plot(), this.end, this.#context, this.#size];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.#size.width, this.#size.height);
    if (picture) this.#strip.draw(context, Math.round(plot.left * ratio), Math.round(plot.top * ratio), end);
    for (const mark of this.marks) this.#mark(mark, false);
    if (this.selection) this.#mark(this.selection, true);
    if (this.playhead !== null) this.#line(this.playhead);
    const time = picture?.time(end) ?? null;
    context.font = this.#style.font;
    context.fillStyle = this.#style.ink;
    context.strokeStyle = this.#style.ink;
    drawAxes(context, { ...plot, scale: this.#scale, span: this.#view.span, time, range: this.range, colours: this.#palette.loudness });
  }

  // Fetches what is not known of what is shown.
  #reach() {
    const reached = this.#picture?.past?.reach(this.end - this.#view.span * RATE, this.end);
    reached?.then(() => {
      // Otherwise the next frame shows it.
      if (this.paused) this.draw();
      this.#reach();
    });
  }

  /** @param {number} step */
  #x(step) {
    const { left, width } = this.#plot();
    return left + (1 - (this.end - step) / (this.#view.span * RATE)) * width;
  }

  /**
   * @param {Mark} mark
   * @param {boolean} isSelection
   */
  #mark({ from, to, low, high, label }, isSelection) {
    const { left, top, width, height } = this.#plot();
    const context = this.#context;
    const y = (/** @type {number} */ frequency) =>
      top + (1 - Math.max(0, Math.min(1, this.#scale.position(Math.max(frequency, 1))))) * height;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    const box = /** @type {const} */ ([this.#x(from), y(high), this.#x(to) - this.#x(from), y(low) - y(high)]);
    context.fillStyle = "rgb(255 255 255 / 16%)";
    if (isSelection) context.fillRect(...box);
    // Light on dark, so that it is seen on any colour.
    for (const [style, lineWidth] of /** @type {const} */ ([["rgb(0 0 0 / 70%)", 4], ["#fff", 1.5]])) {
      context.strokeStyle = style;
      context.lineWidth = lineWidth;
      context.strokeRect(...box);
    }
    if (label) this.#write(label, box[0] + 4, Math.max(top + 2, box[1] - 16));
    context.restore();
  }

  /**
   * @param {string} label
   * @param {number} x
   * @param {number} y
   */
  #write(label, x, y) {
    const context = this.#context;
    context.font = this.#style.font;
    context.textBaseline = "top";
    context.textAlign = "left";
    context.fillStyle = "rgb(0 0 0 / 70%)";
    context.fillRect(x - 3, y - 2, context.measureText(label).width + 6, 16);
    context.fillStyle = "#fff";
    context.fillText(label, x, y);
  }

  /** @param {number} step */
  #line(step) {
    const { top, height } = this.#plot();
    this.#context.fillStyle = "#fff";
    this.#context.fillRect(this.#x(step) - 1, top, 2, height);
  }

  /**
   * Follows what is shown with the contrast.
   *
   * @param {number} now
   */
  #judge(now) {
    this.#judged = now;
    const columns = this.#picture?.columns;
    if (this.#view.range || !columns) return;
    const counts = new Uint32Array(256);
    const bin = (/** @type {number} */ frequency) => Math.round((frequency / this.#nyquist) * columns.bins);
    const [low, high] = [bin(this.#scale.lowest), bin(this.#scale.highest)];
    const first = Math.max(columns.begin, Math.floor(this.end - this.#view.span * RATE));
    for (let number = first; number < Math.min(this.end, columns.end); number += SAMPLED) {
      if (columns.state(number) !== RECEIVED) continue;
      for (const value of columns.column(number).subarray(low, high)) counts[value] += 1;
    }
    const range = suited(counts, this.#range, decibels);
    if (range === this.#range) return;
    this.#range = range;
    this.#restyle();
  }
}
