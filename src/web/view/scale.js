// @ts-check
// The frequency axis of the spectrogram. Pure.

// The lowest frequency of a logarithmic axis.
const LOWEST = 100;

/** Frequencies from the lowest at the bottom to the highest at the top. */
export class Scale {
  /**
   * @param {string} kind `linear` or `log`.
   * @param {number} lowest A logarithmic axis begins at a positive frequency.
   * @param {number} highest
   */
  constructor(kind, lowest, highest) {
    this.kind = kind;
    this.lowest = kind === "log" ? Math.max(lowest, Math.min(LOWEST, highest / 8)) : lowest;
    this.highest = highest;
  }

  /**
   * From 0 at the bottom to 1 at the top.
   *
   * @param {number} frequency
   */
  position(frequency) {
    if (this.kind === "log") {
      return Math.log(Math.max(frequency, 1) / this.lowest) / Math.log(this.highest / this.lowest);
    }
    return (frequency - this.lowest) / (this.highest - this.lowest);
  }

  /**
   * The inverse of `position`.
   *
   * @param {number} position
   */
  frequency(position) {
    if (this.kind === "log") return this.lowest * (this.highest / this.lowest) ** position;
    return this.lowest + position * (this.highest - this.lowest);
  }

  /**
   * Round frequencies to label.
   *
   * @param {number} most The largest number of labels.
   */
  ticks(most) {
    if (this.kind === "log") {
      const all = [100, 200, 500, 1e3, 2e3, 5e3, 10e3, 20e3, 50e3, 100e3, 200e3];
      const shown = all.filter((tick) => tick >= this.lowest && tick <= this.highest);
      return shown.length > most ? shown.filter((tick) => !String(tick).startsWith("2")) : shown;
    }
    const step = round((this.highest - this.lowest) / most);
    const first = Math.ceil(this.lowest / step);
    return Array.from({ length: Math.floor(this.highest / step) - first + 1 }, (_, i) => (first + i) * step);
  }
}

/** Between two labels of time, in seconds. */
const TIMES = [1, 2, 5, 10, 15, 30, 60, 120, 300];

/**
 * The step between labels of time.
 *
 * @param {number} span What the axis has, in seconds.
 * @param {number} most The largest number of labels.
 */
export function timeStep(span, most) {
  return TIMES.find((step) => span / step <= most) ?? 600;
}

/**
 * The smallest of …, 1, 2, 5, 10, … that is at least `least`.
 *
 * @param {number} least
 */
function round(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5].find((digit) => digit * power >= least) ?? 10) * power;
}

/**
 * A frequency with its unit.
 *
 * @param {number} frequency
 */
export function hertz(frequency) {
  return frequency < 1000 ? `${Math.round(frequency)} Hz` : `${+(frequency / 1000).toFixed(1)} kHz`;
}

/**
 * The bins of a spectrum that a row shows: first and last, which are fractions where rows are narrower than bins.
 *
 * @typedef {[number, number]} Row
 */

/**
 * What each row of the spectrogram shows, from the top down.
 *
 * @param {Scale} scale
 * @param {number} height
 * @param {number} bins Of a spectrum that ends at the Nyquist frequency.
 * @param {number} nyquist
 * @returns {Row[]}
 */
export function rows(scale, height, bins, nyquist) {
  const bin = (/** @type {number} */ position) =>
    Math.max(0, Math.min(bins - 1, (scale.frequency(position) / nyquist) * bins));
  return Array.from({ length: height }, (_, row) => [
    bin(1 - (row + 1) / height),
    bin(1 - row / height),
  ]);
}

/**
 * A row's value: the loudest of its bins, or an interpolation between two.
 *
 * @param {Uint8ClampedArray} spectrum
 * @param {Row} row
 */
export function look(spectrum, [from, to]) {
  if (to - from < 1) {
    const middle = (from + to) / 2;
    const below = Math.floor(middle);
    const above = Math.min(below + 1, spectrum.length - 1);
    return spectrum[below] + (spectrum[above] - spectrum[below]) * (middle - below);
  }
  let loudest = 0;
  for (let bin = Math.ceil(from); bin <= to; bin += 1) loudest = Math.max(loudest, spectrum[bin]);
  return loudest;
}
