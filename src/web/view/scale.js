// Where a frequency, a loudness and a time stand in the picture. Pure.

/** The frequency axis: from 0 (or the lowest that a logarithm can begin with) to Nyquist. */
export class Scale {
  constructor(kind, nyquist) {
    this.kind = kind;
    this.nyquist = nyquist;
    this.lowest = kind === "log" ? Math.min(100, nyquist / 8) : 0;
  }

  /** From 0 at the bottom to 1 at the top. */
  position(frequency) {
    if (this.kind === "log") {
      return Math.log(Math.max(frequency, 1) / this.lowest) / Math.log(this.nyquist / this.lowest);
    }
    return frequency / this.nyquist;
  }

  frequency(position) {
    if (this.kind === "log") return this.lowest * (this.nyquist / this.lowest) ** position;
    return position * this.nyquist;
  }

  /** Round frequencies to label, at most so many of them. */
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

/** The smallest of 1, 2, 5, 10, … that is no smaller than `least`. */
function round(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].find((digit) => digit * power >= least) * power;
}

/** A frequency as people write it. */
export function hertz(frequency) {
  return frequency < 1000 ? `${Math.round(frequency)} Hz` : `${+(frequency / 1000).toFixed(1)} kHz`;
}

/**
 * Which bins of a spectrum each row of the picture shows, from the top down: `[first, last]`, as
 * fractions where rows are narrower than bins.
 */
export function rows(scale, height, bins) {
  const bin = (position) => Math.max(0, Math.min(bins - 1, (scale.frequency(position) / scale.nyquist) * bins));
  return Array.from({ length: height }, (_, row) => [
    bin(1 - (row + 1) / height),
    bin(1 - row / height),
  ]);
}

/** What a row shows of a spectrum: the loudest of its bins, or what lies between two. */
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
