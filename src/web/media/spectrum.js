// @ts-check
// The spectrum of a moment of audio. Pure.
//
// The same as what a browser's AnalyserNode gives for these samples: a Blackman window and no smoothing. But it is
// computed from samples whose place in the stream is known, and not from those that are played at the moment.

export const QUIETEST = -140;
export const LOUDEST = 0;

const BYTES_PER_DB = 255 / (LOUDEST - QUIETEST);
// Decibels of a power, from its natural logarithm.
const DB = 10 / Math.LN10;

export class Spectrum {
  #size;
  #window;
  #cos;
  #sin;
  #reversed;
  #re;
  #im;

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
   * @param {Uint8Array} column
   */
  write(samples, at, column) {
    const [re, im, half] = [this.#re, this.#im, this.bins];
    for (let i = 0; i < half; i += 1) {
      const to = this.#reversed[i];
      re[to] = samples[at + 2 * i] * this.#window[2 * i];
      im[to] = samples[at + 2 * i + 1] * this.#window[2 * i + 1];
    }
    this.#transform();
    for (let k = 0; k < half; k += 1) {
      // The spectra of the even and of the odd samples, and both together.
      const mirror = (half - k) % half;
      const [evenRe, evenIm] = [(re[k] + re[mirror]) / 2, (im[k] - im[mirror]) / 2];
      const [oddRe, oddIm] = [(im[k] + im[mirror]) / 2, (re[mirror] - re[k]) / 2];
      const real = evenRe + oddRe * this.#cos[k] - oddIm * this.#sin[k];
      const imaginary = evenIm + oddRe * this.#sin[k] + oddIm * this.#cos[k];
      const loudness = DB * Math.log(real * real + imaginary * imaginary + 1e-30);
      column[k] = Math.max(0, Math.min(255, Math.round((loudness - QUIETEST) * BYTES_PER_DB)));
    }
  }

  // Of the complex numbers in bit-reversed order, in place.
  #transform() {
    const [re, im, half] = [this.#re, this.#im, this.bins];
    for (let length = 2; length <= half; length *= 2) {
      const step = this.#size / length;
      for (let begin = 0; begin < half; begin += length) {
        for (let i = 0; i < length / 2; i += 1) {
          const [a, b] = [begin + i, begin + i + length / 2];
          const [cos, sin] = [this.#cos[i * step], this.#sin[i * step]];
          const [turnedRe, turnedIm] = [re[b] * cos - im[b] * sin, re[b] * sin + im[b] * cos];
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
