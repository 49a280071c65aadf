// @ts-check
// What is done to the sound on its way to the ear: filters, gain and a limiter.
//
//   filters ─┬─► gain ───────────────────────────────┬─► out
//            │      └─► limiter (only where needed) ──┘
//            └─► loudness (measured, for even loudness)
//
// Every change is a glide of some hundredths of a second, as a step would be heard as a click.

/**
 * What a person wants to hear.
 *
 * @typedef {object} Settings
 * @property {number} gain From 0 to 30 dB.
 * @property {boolean} even Whether the gain follows the loudness slowly.
 * @property {number} highPass In Hz; 0 for none.
 * @property {number} lowPass In Hz; 0 for none.
 */

/** @type {Readonly<Settings>} */
export const NEUTRAL = { gain: 0, even: false, highPass: 0, lowPass: 0 };

/**
 * Whether they leave the sound as it is.
 *
 * @param {Settings} settings
 */
export function isNeutral({ gain, even, highPass, lowPass }) {
  return gain === 0 && !even && highPass === 0 && lowPass === 0;
}

// How fast parameters glide, in seconds.
const GLIDE = 0.02;
// Two filters of second order with these make one of fourth order (Butterworth).
const QUALITIES = [-5.33, 2.32]; // in dB, as filters of this kind have it
// Frequencies that pass everything.
const LOWEST = 1;
const HIGHEST = 0.499; // of the sample rate
// The limiter, in dB. Browsers amplify after it by 0.6 of what it takes away from full scale.
const THRESHOLD = -3;
const RATIO = 20;
const MAKEUP = -THRESHOLD * (1 - 1 / RATIO) * 0.6;

// Even loudness: the loudness that is aimed at, in dB of full scale; how much may be added and taken away; what is
// quieter is silence; how fast it adapts, in seconds.
const AIM = -26;
const MOST = 30;
const LEAST = -12;
const SILENT = -85;
const LOUDER = 0.4;
const QUIETER = 4;
const LOOKS = 100; // in milliseconds

export class Hearing {
  #context;
  #filters;
  #gain;
  #plain;
  #limited;
  #meter;
  #samples;
  #settings = NEUTRAL;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {number | null} */
  #loudness = null; // in dB

  /** @param {AudioContext} context */
  constructor(context) {
    this.#context = context;
    const filter = (/** @type {BiquadFilterType} */ type, /** @type {number} */ frequency) =>
      QUALITIES.map((Q) => new BiquadFilterNode(context, { type, frequency, Q }));
    this.#filters = [
      ...filter("highpass", LOWEST),
      ...filter("lowpass", HIGHEST * context.sampleRate),
    ];
    this.#gain = context.createGain();
    this.#plain = context.createGain();
    this.#limited = new GainNode(context, { gain: 0 });
    const limiter = new DynamicsCompressorNode(context, { threshold: THRESHOLD, ratio: RATIO, knee: 0, attack: 0.002, release: 0.1 });
    this.#meter = new AnalyserNode(context, { fftSize: 4096 });
    this.#samples = new Float32Array(this.#meter.fftSize);

    /** Where sound comes in, and where it goes out. */
    this.input = this.#filters[0];
    this.output = context.createGain();
    const last = this.#filters.reduce((from, to) => /** @type {BiquadFilterNode} */ (from.connect(to)));
    last.connect(this.#meter);
    last.connect(this.#gain);
    this.#gain.connect(this.#plain).connect(this.output);
    this.#gain.connect(limiter).connect(this.#limited).connect(this.output);
  }

  /** @param {Settings} settings */
  set(settings) {
    this.#settings = settings;
    const { highPass, lowPass, gain, even } = settings;
    const frequencies = [highPass || LOWEST, lowPass || HIGHEST * this.#context.sampleRate];
    this.#filters.forEach(({ frequency }, at) => this.#glide(frequency, frequencies[Math.floor(at / 2)], GLIDE));
    const isLimited = gain > 0 || even;
    this.#glide(this.#plain.gain, isLimited ? 0 : 1, GLIDE);
    this.#glide(this.#limited.gain, isLimited ? amplitude(-MAKEUP) : 0, GLIDE);
    clearInterval(this.#timer);
    this.#loudness = null;
    if (even) this.#timer = setInterval(() => this.#adapt(), LOOKS);
    else this.#glide(this.#gain.gain, amplitude(gain), GLIDE);
  }

  // Follows the loudness: soon when it is too loud, and slowly when it is quiet.
  #adapt() {
    this.#meter.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    const loudness = 10 * Math.log10(power + 1e-12);
    if (loudness < SILENT) return;
    const before = this.#loudness ?? loudness;
    const pace = LOOKS / 1000 / (loudness > before ? LOUDER : QUIETER);
    this.#loudness = before + (loudness - before) * Math.min(1, pace);
    const wanted = Math.max(LEAST, Math.min(MOST, AIM - this.#loudness));
    this.#glide(this.#gain.gain, amplitude(wanted + this.#settings.gain), LOUDER);
  }

  /**
   * @param {AudioParam} param
   * @param {number} value
   * @param {number} seconds
   */
  #glide(param, value, seconds) {
    param.setTargetAtTime(value, this.#context.currentTime, seconds);
  }

  close() {
    clearInterval(this.#timer);
  }
}

/** @param {number} decibels */
function amplitude(decibels) {
  return 10 ** (decibels / 20);
}
