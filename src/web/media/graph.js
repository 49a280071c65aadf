// @ts-check
// The audio graph.
//
//   element or MediaStream ─┬─► analyser (for where packets are not at hand)
//                           └─► voice ─► live ──┐
//   what is heard again ─► band ────────────────┴─► hearing ─► volume ─► loudspeaker
//
// What is shown does not depend on what is done to the sound. Each sound begins and ends softly.

import { Hearing } from "./hearing.js";

const FFT = 2048;
// How fast one sound takes the place of another, in seconds, and when it has.
const GLIDE = 0.015;
const GONE = 0.1;
// Between two looks for the beginning of a sound, and how long silence is taken for no sound, in milliseconds.
const LOOKS = 5;
const PATIENCE = 2_000;
// What is heard anyway, in Hz, needs no filter.
const AUDIBLE = { low: 20, high: 20_000 };

export class Graph {
  #live;
  /** What plays a part of the past. */
  #past;
  /**
   * That part, while it is heard.
   *
   * @type {Voice | null}
   */
  #again = null;
  #volume;

  /**
   * @param {number} rate
   * @param {HTMLMediaElement} again What plays a part of the past.
   */
  constructor(rate, again) {
    const audio = context(rate);
    this.context = audio;
    this.analyser = audio.createAnalyser();
    this.analyser.fftSize = FFT;
    this.analyser.smoothingTimeConstant = 0;
    this.hearing = new Hearing(audio);
    this.#live = audio.createGain();
    this.#past = audio.createMediaElementSource(again);
    this.#volume = audio.createGain();
    this.#live.connect(this.hearing.input);
    this.hearing.output.connect(this.#volume).connect(audio.destination);
  }

  /**
   * What an element or a MediaStream plays. It is silent at first.
   *
   * @param {HTMLMediaElement | MediaStream} from
   * @returns {Voice}
   */
  voice(from) {
    const audio = this.context;
    const isStream = from instanceof MediaStream;
    const source = isStream ? audio.createMediaStreamSource(from) : audio.createMediaElementSource(from);
    source.connect(this.analyser);
    return new Voice(source, this.#live);
  }

  /** @param {number} gain A factor. A sudden change would be heard as a click. */
  set volume(gain) {
    this.#glide(this.#volume.gain, gain);
  }

  /**
   * Lets a part of the past be heard, or what is live.
   *
   * @param {{ low: number, high: number } | null} band The frequencies of the past that are heard, in Hz; null for live.
   */
  set again(band) {
    this.#glide(this.#live.gain, band ? 0 : 1);
    this.#again?.end();
    this.#again = band && new Voice(this.#limited(band), this.hearing.input);
    this.#again?.begin();
  }

  /**
   * The part of the past, limited to a band. With other filters each time: what is left in one from before would be
   * heard.
   *
   * @param {{ low: number, high: number }} band
   */
  #limited({ low, high }) {
    const audio = this.context;
    let last = /** @type {AudioNode} */ (this.#past);
    if (low > AUDIBLE.low) last = last.connect(new BiquadFilterNode(audio, { type: "highpass", frequency: low }));
    if (high < AUDIBLE.high) last = last.connect(new BiquadFilterNode(audio, { type: "lowpass", frequency: high }));
    // What ends a voice is not to disconnect the part of the past, which may be heard again already.
    return last.connect(audio.createGain());
  }

  /** Seconds from the element to the loudspeaker. */
  get delay() {
    return this.context.outputLatency || this.context.baseLatency || 0;
  }

  /** Whether all that comes from the element or the MediaStream is exactly zero at the moment. */
  get isZero() {
    const samples = new Float32Array(FFT);
    this.analyser.getFloatTimeDomainData(samples);
    return samples.every((sample) => sample === 0);
  }

  /**
   * @param {AudioParam} param
   * @param {number} value
   */
  #glide(param, value) {
    param.setTargetAtTime(value, this.context.currentTime, GLIDE);
  }

  close() {
    this.hearing.close();
    this.context.close().catch(() => {});
  }
}

/** One sound, from its beginning to its end. */
class Voice {
  #source;
  #gain;
  #meter;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #wait;

  /**
   * @param {AudioNode} source
   * @param {AudioNode} output
   */
  constructor(source, output) {
    this.#source = source;
    this.#gain = new GainNode(source.context, { gain: 0 });
    this.#meter = new AnalyserNode(source.context, { fftSize: 512 });
    source.connect(this.#meter);
    source.connect(this.#gain).connect(output);
  }

  /** Lets it be heard, as soon as there is something: what begins later would begin with a click. */
  begin() {
    clearInterval(this.#wait);
    const samples = new Float32Array(this.#meter.fftSize);
    const last = performance.now() + PATIENCE;
    this.#wait = setInterval(() => {
      this.#meter.getFloatTimeDomainData(samples);
      if (samples.every((sample) => sample === 0) && performance.now() < last) return;
      clearInterval(this.#wait);
      this.#glide(1);
    }, LOOKS);
  }

  /** Ends it softly. Resolves when nothing of it is heard any more. */
  async end() {
    clearInterval(this.#wait);
    this.#glide(0);
    await new Promise((resolve) => setTimeout(resolve, GONE * 1000));
    this.#source.disconnect();
    this.#gain.disconnect();
  }

  /** @param {number} gain */
  #glide(gain) {
    this.#gain.gain.setTargetAtTime(gain, this.#gain.context.currentTime, GLIDE);
  }
}

/** @param {number} sampleRate */
function context(sampleRate) {
  try {
    return new AudioContext({ sampleRate, latencyHint: "interactive" });
  } catch {
    return new AudioContext();
  }
}
