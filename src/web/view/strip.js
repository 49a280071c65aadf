// @ts-check
// The painted columns of a spectrogram, which are painted once and then only moved.
//
// A ring: a pixel of it is a pixel of the screen, so that drawing is copying. It stands for one column or a part of it, or
// for several where the view is wide, and has its place by its number. Of several columns the loudest counts, so a click
// is seen at any width.

import { decibels } from "../media/spectrum.js";
import { MISSING, RECEIVED } from "../model/columns.js";
import { look, rows } from "./scale.js";

// The stripes of what was not received, in pixels.
const STRIPE = 4;

/**
 * @typedef {object} Look How columns are painted.
 * @property {import("./scale.js").Scale} scale
 * @property {number} nyquist
 * @property {import("./contrast.js").Range} range
 * @property {ReturnType<typeof import("./palette.js").palette>} palette
 */

export class Strip {
  #canvas = document.createElement("canvas");
  #context;
  /** @type {import("../model/columns.js").Columns | null} */
  #columns = null;
  /** @type {Look | null} */
  #look = null;
  /** @type {import("./scale.js").Row[]} */
  #rows = [];
  #image = new ImageData(1, 1);
  #pixels = new Uint32Array(0);
  /** The number of what each pixel shows; -1 for nothing that stays. */
  #painted = new Int32Array(0);
  #each = 1; // columns of a pixel, with a fraction
  #loudest = new Uint8ClampedArray(0);

  constructor() {
    const context = this.#canvas.getContext("2d");
    if (!context) throw new Error("this browser has no canvas");
    this.#context = context;
  }

  /**
   * Begins again.
   *
   * @param {import("../model/columns.js").Columns | null} columns
   * @param {number} shown How many columns are to be seen.
   * @param {number} width The pixels that they are to be seen in, of the device.
   * @param {number} height
   * @param {Look} paint
   */
  begin(columns, shown, width, height, paint) {
    this.#columns = columns;
    this.#look = paint;
    this.#each = shown / width;
    this.#canvas.width = width + 2;
    this.#canvas.height = height;
    this.#image = new ImageData(1, height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    this.#painted = new Int32Array(this.#canvas.width).fill(-1);
    this.#rows = rows(paint.scale, height, columns?.bins ?? 1024, paint.nyquist);
    this.#loudest = new Uint8ClampedArray(columns?.bins ?? 0);
  }

  /**
   * Draws the columns up to `end`, a fraction, with the left upper corner at a pixel of the device.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {number} left
   * @param {number} top
   * @param {number} end
   */
  draw(context, left, top, end) {
    const size = this.#canvas.width;
    const last = Math.round(end / this.#each) - 1;
    const first = last - (size - 2) + 1;
    this.#paint(first, last);
    context.save();
    context.resetTransform();
    const part = (/** @type {number} */ from, /** @type {number} */ to) => {
      if (from > to) return;
      const [at, count, { height }] = [place(from, size), to - from + 1, this.#canvas];
      context.drawImage(this.#canvas, at, 0, count, height, left + from - first, top, count, height);
    };
    const cut = (Math.floor(first / size) + 1) * size;
    part(first, Math.min(last, cut - 1));
    part(cut, last);
    context.restore();
  }

  /**
   * Paints those that are not painted yet.
   *
   * @param {number} first
   * @param {number} last
   */
  #paint(first, last) {
    const changed = Math.floor((this.#columns?.takeChanged() ?? Infinity) / this.#each);
    if (changed < Infinity) this.#painted = this.#painted.map((number) => (number < changed ? number : -1));
    const known = this.#columns?.end ?? 0;
    for (let number = first; number <= last; number += 1) {
      const at = place(number, this.#painted.length);
      if (this.#painted[at] === number) continue;
      this.#paintOne(number);
      this.#context.putImageData(this.#image, at, 0);
      // What is not decoded yet comes later.
      this.#painted[at] = (number + 1) * this.#each <= known ? number : -1;
    }
  }

  /** @param {number} number */
  #paintOne(number) {
    const { missing, loudness } = this.#look?.palette ?? { missing: [], loudness: [] };
    const { floor, ceiling } = this.#look?.range ?? { floor: 0, ceiling: 1 };
    const spectrum = this.#spectrum(number);
    if (spectrum === MISSING) {
      for (let row = 0; row < this.#pixels.length; row += 1) {
        this.#pixels[row] = missing[Math.floor((row + number) / STRIPE) & 1];
      }
      return;
    }
    if (spectrum === null) {
      this.#pixels.fill(0);
      return;
    }
    for (let row = 0; row < this.#pixels.length; row += 1) {
      const loud = decibels(look(spectrum, this.#rows[row]));
      const shade = Math.round(((loud - floor) / (ceiling - floor)) * 255);
      this.#pixels[row] = loudness[Math.max(0, Math.min(255, shade))];
    }
  }

  /**
   * The spectrum of a pixel; MISSING; or null for nothing.
   *
   * @param {number} pixel
   */
  #spectrum(pixel) {
    const columns = this.#columns;
    if (!columns) return null;
    let isMissing = false;
    let count = 0;
    const first = Math.floor(pixel * this.#each);
    const end = Math.max(first + 1, Math.floor((pixel + 1) * this.#each));
    for (let number = first; number < end; number += 1) {
      const state = columns.shown(number);
      if (state === MISSING) isMissing = true;
      if (state !== RECEIVED) continue;
      const column = columns.column(number);
      if (end === first + 1) return column;
      if (count === 0) this.#loudest.set(column);
      else louder(this.#loudest, column);
      count += 1;
    }
    return count > 0 ? this.#loudest : isMissing ? MISSING : null;
  }
}

/**
 * Raises each value to that of another spectrum, where that is larger.
 *
 * @param {Uint8ClampedArray} values
 * @param {Uint8ClampedArray} others
 */
function louder(values, others) {
  for (let bin = 0; bin < values.length; bin += 1) if (others[bin] > values[bin]) values[bin] = others[bin];
}

/**
 * Where a number has its place in a ring.
 *
 * @param {number} number
 * @param {number} size
 */
function place(number, size) {
  return ((number % size) + size) % size;
}
