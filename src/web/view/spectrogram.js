// @ts-check
// The live spectrogram, moving with what is heard.
//
// What is heard is at the right edge. All columns are drawn again when the view changes, so the axis, the range and the
// colours can be chosen afterwards. What was not received has a colour of its own, which is neither that of silence nor
// that of a sound. Where reduced motion is preferred, it moves once per second.

import { LOUDEST, QUIETEST } from "../media/spectrum.js";
import { MISSING, RATE, RECEIVED } from "../model/columns.js";
import { missing, palette } from "./palette.js";
import { Scale, hertz, look, rows } from "./scale.js";
import { clock } from "../model/messages.js";

/** Space for the labels, in CSS pixels. */
export const MARGIN = { left: 58, bottom: 24, top: 8, right: 8 };
// Milliseconds between two updates where reduced motion is preferred.
const STILL = 1000;

const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

export class Spectrogram {
  /**
   * Unix time at the right edge; set with each frame.
   *
   * @type {number | null}
   */
  wall = null;

  #canvas;
  #context;
  #strip = document.createElement("canvas");
  #stripContext;
  #column = new ImageData(1, 1);
  /** @type {import("../model/columns.js").Columns | null} */
  #columns = null;
  #edge = 0; // the column at the right edge
  #scale = new Scale("linear", 24_000);
  /** @type {import("./scale.js").Row[]} */
  #rows = [];
  #colours = palette(true);
  #missing = missing(true);
  #range = { floor: -110, ceiling: -40 };
  /**
   * Where it ends while it is paused: the column and its time.
   *
   * @type {{ column: number, wall: number | null } | null}
   */
  #held = null;
  #drawn = 0; // columns before this one are in the strip, as they will stay
  #next = 0; // when it may be drawn again
  #size = { width: 0, height: 0, ratio: 1 };

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = context2d(canvas);
    this.#stripContext = context2d(this.#strip);
    new ResizeObserver(() => this.#fit()).observe(canvas);
    dark.addEventListener("change", () => this.#restyle());
    this.#restyle();
    this.#fit();
  }

  /**
   * Shows these from now on.
   *
   * @param {import("../model/columns.js").Columns} columns
   * @param {number} nyquist
   */
  begin(columns, nyquist) {
    this.#columns = columns;
    this.#held = null;
    this.#edge = columns.end;
    this.#scale = new Scale(this.#scale.kind, nyquist);
    this.#redraw();
  }

  get kind() {
    return this.#scale.kind;
  }

  set kind(kind) {
    this.#scale = new Scale(kind, this.#scale.nyquist);
    this.#redraw();
  }

  /** The loudness, in dB, of the first and the last colour. */
  get range() {
    return this.#range;
  }

  set range(range) {
    this.#range = range;
    this.#redraw();
  }

  get paused() {
    return this.#held !== null;
  }

  set paused(paused) {
    this.#held = paused ? this.#hold() : null;
    this.#redraw();
  }

  /**
   * Moves to this column, and draws.
   *
   * @param {number} now
   * @param {number} edge
   * @param {number} wall Unix time of what is heard.
   */
  frame(now, edge, wall) {
    this.#edge = Math.floor(edge);
    this.wall = wall;
    if (this.paused || now < this.#next) return;
    this.#show();
    // On a slow machine, most of the time is left to the audio.
    const rest = (performance.now() - now) * 3;
    this.#next = now + (still.matches ? STILL : rest > 12 ? rest : 0);
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
    const wall = this.#end().wall;
    return {
      frequency: this.#scale.frequency(1 - row / height),
      time: wall === null ? null : wall - ((width - column) * 1000) / RATE,
    };
  }

  // What is not decoded yet would come later, while nothing may move.
  #hold() {
    const column = Math.min(this.#edge, this.#columns?.end ?? 0);
    const wall = this.wall === null ? null : this.wall - ((this.#edge - column) * 1000) / RATE;
    return { column, wall };
  }

  #plot() {
    return {
      width: Math.max(1, Math.floor(this.#size.width - MARGIN.left - MARGIN.right)),
      height: Math.max(1, Math.floor(this.#size.height - MARGIN.top - MARGIN.bottom)),
    };
  }

  #end() {
    return this.#held ?? { column: this.#edge, wall: this.wall };
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.#size = { width, height, ratio };
    this.#canvas.width = Math.max(1, Math.round(width * ratio));
    this.#canvas.height = Math.max(1, Math.round(height * ratio));
    this.#redraw();
  }

  #restyle() {
    this.#colours = palette(dark.matches);
    this.#missing = missing(dark.matches);
    this.#redraw();
  }

  #redraw() {
    const { width, height } = this.#plot();
    this.#strip.width = width;
    this.#strip.height = Math.round(height * this.#size.ratio);
    this.#column = new ImageData(1, this.#strip.height);
    this.#rows = rows(this.#scale, this.#strip.height, this.#columns?.bins ?? 1024);
    this.#drawn = this.#end().column - width;
    this.#show();
  }

  #show() {
    const { width, height } = this.#plot();
    const end = this.#end().column;
    // After a jump back, the strip has columns of another time.
    if (this.#drawn > end) this.#drawn = end - width;
    this.#drawn = Math.min(this.#drawn, this.#columns?.takeChanged() ?? this.#drawn);
    for (let number = Math.max(this.#drawn, end - width); number < end; number += 1) {
      this.#paint(number);
      this.#stripContext.putImageData(this.#column, ((number % width) + width) % width, 0);
    }
    // What is not decoded yet comes later.
    this.#drawn = Math.min(end, Math.max(this.#columns?.end ?? 0, end - width));

    const context = this.#context;
    context.setTransform(this.#size.ratio, 0, 0, this.#size.ratio, 0, 0);
    context.clearRect(0, 0, this.#size.width, this.#size.height);
    context.fillStyle = css(this.#colours[0]);
    context.fillRect(MARGIN.left, MARGIN.top, width, height);
    // The strip is a ring: the oldest column follows the newest.
    const cut = ((end % width) + width) % width;
    const part = (/** @type {number} */ from, /** @type {number} */ count, /** @type {number} */ x) => {
      if (count <= 0) return;
      context.drawImage(this.#strip, from, 0, count, this.#strip.height,
        MARGIN.left + x, MARGIN.top, count, height);
    };
    part(cut, width - cut, 0);
    part(0, cut, width - cut);
    this.#label(width, height);
  }

  /** @param {number} number */
  #paint(number) {
    const pixels = new Uint32Array(this.#column.data.buffer);
    const state = this.#columns?.state(number);
    if (!this.#columns || state !== RECEIVED) {
      pixels.fill(state === MISSING ? this.#missing : this.#colours[0]);
      return;
    }
    const spectrum = this.#columns.column(number);
    const { floor, ceiling } = this.#range;
    const perByte = (LOUDEST - QUIETEST) / 255;
    for (let row = 0; row < pixels.length; row += 1) {
      const loudness = QUIETEST + look(spectrum, this.#rows[row]) * perByte;
      const place = (loudness - floor) / (ceiling - floor);
      pixels[row] = this.#colours[Math.max(0, Math.min(255, Math.round(place * 255)))];
    }
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  #label(width, height) {
    const context = this.#context;
    const style = getComputedStyle(this.#canvas);
    context.font = style.font;
    context.fillStyle = style.color;
    context.strokeStyle = style.color;
    context.lineWidth = 1;
    const right = MARGIN.left + width;
    const bottom = MARGIN.top + height;

    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of this.#scale.ticks(Math.max(2, Math.floor(height / 34)))) {
      const y = Math.round(bottom - this.#scale.position(tick) * height) + 0.5;
      line(context, MARGIN.left - 5, y, MARGIN.left - 1, y);
      context.fillText(hertz(tick), MARGIN.left - 8, Math.max(MARGIN.top + 5, Math.min(y, bottom - 4)));
    }

    const { wall } = this.#end();
    if (wall === null) return;
    context.textAlign = "center";
    context.textBaseline = "top";
    const step = width < 500 ? 2000 : 5000;
    const first = wall - (width * 1000) / RATE;
    for (let time = Math.ceil(first / step) * step; time <= wall; time += step) {
      const x = right - ((wall - time) * RATE) / 1000;
      line(context, x, bottom + 1, x, bottom + 5);
      if (x - 28 < MARGIN.left - 20 || x + 28 > right + MARGIN.right) continue;
      context.fillText(clock(time), x, bottom + 8);
    }
  }
}

/** @param {HTMLCanvasElement} canvas */
function context2d(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser has no canvas");
  return context;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x1
 * @param {number} y1
 * @param {number} x2
 * @param {number} y2
 */
function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

/** @param {number} pixel */
function css(pixel) {
  return `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
}
