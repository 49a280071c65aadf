// @ts-check
// The spectrum of a moment of audio. Pure.
//
// The same as what a browser's AnalyserNode gives for these samples: a Blackman window and no smoothing. But it is
// computed from samples whose place in the stream is known, and not from those that are played at the moment.

export const QUIETEST = -140;
export const LOUDEST = 0;

// By how much a column's value rises when the power doubles.
const PER_OCTAVE = (10 * Math.log10(2) * 255) / (LOUDEST - QUIETEST);
// The value for each mantissa of a number with the exponent 0 of 32-bit floating point, which stands for 2^-127. The
// logarithm of each power would take longer than the rest.
const LOGARITHMS = Float32Array.from({ length: 256 }, (_, i) => {
  const quietest = (QUIETEST / 10) * Math.log2(10);
  return (Math.log2(1 + (i + 0.5) / 256) - 127 - quietest) * PER_OCTAVE;
});

/**
 * The loudness that a value of a column stands for, in dB of full scale.
 *
 * @param {number} value From 0 to 255.
 */
export function decibels(value) {
  return QUIETEST + (value / 255) * (LOUDEST - QUIETEST);
}

export class Spectrum {
  #size;
  #window;
  #cos;
  #sin;
  #reversed;
  #re;
  #im;
  #power;
  #bits;

  /** @param {number} size Samples of a moment: a power of two. */
  constructor(size) {
    // The samples are taken as complex numbers of half the size.
    const half = size / 2;
    this.#size = size;
    this.#window = Float32Array.from({ length: size }, (_, i) => {
      const phase = (2 * Math.PI * i) / size;
      return (0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase)) / size;
    });
    this.#cos = Float32Array.from({ length: half }, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.#sin = Float32Array.from({ length: half }, (_, i) => -Math.sin((2 * Math.PI * i) / size));
    this.#reversed = reversed(half);
    this.#re = new Float32Array(half);
    this.#im = new Float32Array(half);
    this.#power = new Float32Array(half);
    this.#bits = new Int32Array(this.#power.buffer);
  }

  /** How many values a spectrum has, from 0 up to but not including the Nyquist frequency. */
  get bins() {
    return this.#size / 2;
  }

  /**
   * Writes the loudness of each bin: from 0 for `QUIETEST` to 255 for `LOUDEST`.
   *
   * @param {Float32Array} samples
   * @param {number} at Where the moment begins in them.
   * @param {Uint8ClampedArray} column
   */
  write(samples, at, column) {
    const re = this.#re;
    const im = this.#im;
    const half = this.bins;
    for (let i = 0; i < half; i += 1) {
      const to = this.#reversed[i];
      re[to] = samples[at + 2 * i] * this.#window[2 * i];
      im[to] = samples[at + 2 * i + 1] * this.#window[2 * i + 1];
    }
    this.#transform();
    for (let k = 0; k < half; k += 1) {
      // The spectra of the even and of the odd samples, and both together.
      const mirror = (half - k) & (half - 1);
      const evenRe = (re[k] + re[mirror]) / 2;
      const evenIm = (im[k] - im[mirror]) / 2;
      const oddRe = (im[k] + im[mirror]) / 2;
      const oddIm = (re[mirror] - re[k]) / 2;
      const cos = this.#cos[k];
      const sin = this.#sin[k];
      const real = evenRe + oddRe * cos - oddIm * sin;
      const imaginary = evenIm + oddRe * sin + oddIm * cos;
      this.#power[k] = real * real + imaginary * imaginary;
    }
    for (let k = 0; k < half; k += 1) {
      const bits = this.#bits[k];
      // It rounds and clamps.
      column[k] = (bits >> 23) * PER_OCTAVE + LOGARITHMS[(bits >> 15) & 255];
    }
  }

  // Of the complex numbers in bit-reversed order, in place. Without destructuring: it takes twice the time.
  #transform() {
    const re = this.#re;
    const im = this.#im;
    const cosines = this.#cos;
    const sines = this.#sin;
    const half = this.bins;
    for (let length = 2; length <= half; length *= 2) {
      const step = this.#size / length;
      for (let begin = 0; begin < half; begin += length) {
        for (let i = 0; i < length / 2; i += 1) {
          const a = begin + i;
          const b = a + length / 2;
          const cos = cosines[i * step];
          const sin = sines[i * step];
          const turnedRe = re[b] * cos - im[b] * sin;
          const turnedIm = re[b] * sin + im[b] * cos;
          re[b] = re[a] - turnedRe;
          im[b] = im[a] - turnedIm;
          re[a] += turnedRe;
          im[a] += turnedIm;
        }
      }
    }
  }
}

/**
 * Where each of so many numbers goes in bit-reversed order.
 *
 * @param {number} count
 */
function reversed(count) {
  const places = new Uint16Array(count);
  for (let i = 1; i < count; i += 1) places[i] = (places[i >> 1] >> 1) | (i & 1 ? count / 2 : 0);
  return places;
}
