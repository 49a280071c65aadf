// @ts-check
// The axes of the spectrogram: frequencies, times with their zone, and the loudness of the colours.

import { clock, zone } from "../model/messages.js";
import { css } from "./palette.js";
import { hertz, timeStep } from "./scale.js";

/** Space for the labels, in CSS pixels. */
export const MARGIN = { left: 58, bottom: 24, top: 8, right: 46 };

const LEGEND = 7; // its width
// From one label to the next.
const PER_TIME = 76;
const PER_FREQUENCY = 34;

/**
 * @typedef {object} Axes
 * @property {number} width Of the plot.
 * @property {number} height
 * @property {import("./scale.js").Scale} scale
 * @property {number} span Seconds from the left to the right edge.
 * @property {number | null} time Unix time at the right edge in milliseconds, or null if it is not known.
 * @property {import("./contrast.js").Range} range
 * @property {Uint32Array} colours
 */

/**
 * Draws them with the font and the colour that the context has.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Axes} axes
 */
export function drawAxes(context, axes) {
  context.lineWidth = 1;
  drawFrequencies(context, axes);
  drawTimes(context, axes);
  drawLegend(context, axes);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Axes} axes
 */
function drawFrequencies(context, { scale, height }) {
  const bottom = MARGIN.top + height;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of scale.ticks(Math.max(2, Math.floor(height / PER_FREQUENCY)))) {
    const y = Math.round(bottom - scale.position(tick) * height) + 0.5;
    line(context, MARGIN.left - 5, y, MARGIN.left - 1, y);
    context.fillText(hertz(tick), MARGIN.left - 8, Math.max(MARGIN.top + 5, Math.min(y, bottom - 4)));
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Axes} axes
 */
function drawTimes(context, { width, height, span, time }) {
  const [right, bottom] = [MARGIN.left + width, MARGIN.top + height];
  const step = timeStep(span, Math.max(1, Math.floor(width / PER_TIME))) * 1000;
  // Where the time is not known, seconds before what is heard.
  const end = time ?? 0;
  const first = Math.ceil((end - span * 1000) / step) * step;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (let at = first; at <= end; at += step) {
    const x = right - ((end - at) / 1000 / span) * width;
    line(context, x, bottom + 1, x, bottom + 5);
    if (x - 28 < MARGIN.left || x + 28 > right + MARGIN.right) continue;
    context.fillText(time === null ? `${at / 1000} s` : clock(at), x, bottom + 8);
  }
  if (time === null) return;
  context.textAlign = "right";
  context.fillText(zone(time), MARGIN.left - 8, bottom + 8);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Axes} axes
 */
function drawLegend(context, { width, height, range, colours }) {
  const left = MARGIN.left + width + 8;
  const gradient = context.createLinearGradient(0, MARGIN.top + height, 0, MARGIN.top);
  for (let part = 0; part <= 8; part += 1) gradient.addColorStop(part / 8, css(colours[Math.round((part / 8) * 255)]));
  const ink = context.fillStyle;
  context.fillStyle = gradient;
  context.fillRect(left, MARGIN.top, LEGEND, height);
  context.fillStyle = ink;
  context.textAlign = "left";
  const x = left + LEGEND + 3;
  context.textBaseline = "top";
  context.fillText(minus(range.ceiling), x, MARGIN.top);
  context.textBaseline = "middle";
  context.fillText("dB", x, MARGIN.top + height / 2);
  context.textBaseline = "bottom";
  context.fillText(minus(range.floor), x, MARGIN.top + height);
}

/** @param {number} decibels */
function minus(decibels) {
  return String(decibels).replace("-", "−");
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
