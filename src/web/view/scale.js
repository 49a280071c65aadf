// @ts-check
// The frequency axis of the spectrogram. Pure.

/** From 0, or from a positive frequency on a logarithmic axis, to the Nyquist frequency. */
export class Scale {
  /**
   * @param {string} kind `linear` or `log`.
   * @param {number} nyquist
   */
  constructor(kind, nyquist) {
    this.kind = kind;
    this.nyquist = nyquist;
    this.lowest = kind === "log" ? Math.min(100, nyquist / 8) : 0;
  }

  /**
   * From 0 at the bottom to 1 at the top.
   *
   * @param {number} frequency
   */
  position(frequency) {
    if (this.kind === "log") {
      return Math.log(Math.max(frequency, 1) / this.lowest) / Math.log(this.nyquist / this.lowest);
    }
    return frequency / this.nyquist;
  }

  /**
   * The inverse of `position`.
   *
   * @param {number} position
   */
  frequency(position) {
    if (this.kind === "log") return this.lowest * (this.nyquist / this.lowest) ** position;
    return position * this.nyquist;
  }

  /**
   * Round frequencies to label.
   *
   * @param {number} most The largest number of labels.
   */
  ticks(most) {
    if (this.kind === "log") {
      const all = [100, 200, 500, 1e3, 2e3, 5e3, 10e3, 20e3, 50e3, 100e3, 200e3];
      const shown = all.filter((tick) => tick >= this.lowest && tick <= this.nyquist);
      return shown.length > most ? shown.filter((tick) => !String(tick).startsWith("2")) : shown;
    }
    const step = round(this.nyquist / most);
    const count = Math.floor(this.nyquist / step);
    return Array.from({ length: count + 1 }, (_, i) => i * step);
  }
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
 * @param {number} bins
 * @returns {Row[]}
 */
export function rows(scale, height, bins) {
  const bin = (/** @type {number} */ position) =>
    Math.max(0, Math.min(bins - 1, (scale.frequency(position) / scale.nyquist) * bins));
  return Array.from({ length: height }, (_, row) => [
    bin(1 - (row + 1) / height),
    bin(1 - row / height),
  ]);
}

/**
 * A row's value: the loudest of its bins, or an interpolation between two.
 *
 * @param {Uint8Array} spectrum
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
