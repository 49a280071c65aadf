// @ts-check
// The audio graph.
//
//   element or MediaStream ─┬─► analyser (for where packets are not at hand)
//                           └─► live ──┐
//   what is heard again ─► band ───────┴─► hearing ─► volume ─► loudspeaker
//
// What is shown does not depend on what is done to the sound.

import { Hearing } from "./hearing.js";

const FFT = 2048;
// How fast one sound takes the place of another, in seconds.
const GLIDE = 0.015;

export class Graph {
  #live;
  #again;
  /** Limits what is heard again to a band. */
  #band;
  #volume;
  /** @type {MediaStreamAudioSourceNode | null} */
  #received = null;

  /**
   * @param {number} rate
   * @param {HTMLMediaElement} element
   * @param {HTMLMediaElement} again What plays a part of the past.
   */
  constructor(rate, element, again) {
    const audio = context(rate);
    this.context = audio;
    this.analyser = audio.createAnalyser();
    this.analyser.fftSize = FFT;
    this.analyser.smoothingTimeConstant = 0;
    this.hearing = new Hearing(audio);
    this.#live = audio.createGain();
    this.#again = new GainNode(audio, { gain: 0 });
    this.#band = [new BiquadFilterNode(audio, { type: "highpass" }), new BiquadFilterNode(audio, { type: "lowpass" })];
    this.#volume = audio.createGain();
    this.#connect(audio.createMediaElementSource(element));
    this.#live.connect(this.hearing.input);
    audio.createMediaElementSource(again).connect(this.#band[0]).connect(this.#band[1]).connect(this.#again);
    this.#again.connect(this.hearing.input);
    this.hearing.output.connect(this.#volume).connect(audio.destination);
  }

  /** @param {AudioNode} source */
  #connect(source) {
    source.connect(this.analyser);
    source.connect(this.#live);
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
    this.#glide(this.#again.gain, band ? 1 : 0);
    if (!band) return;
    const [highPass, lowPass] = this.#band;
    highPass.frequency.value = Math.max(1, band.low);
    lowPass.frequency.value = Math.min(0.499 * this.context.sampleRate, band.high);
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
   * Takes a MediaStream in place of the element, until `disconnect`.
   *
   * @param {MediaStream} stream
   */
  receive(stream) {
    this.#received = this.context.createMediaStreamSource(stream);
    this.#connect(this.#received);
  }

  disconnect() {
    this.#received?.disconnect();
    this.#received = null;
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

/** @param {number} sampleRate */
function context(sampleRate) {
  try {
    return new AudioContext({ sampleRate, latencyHint: "interactive" });
  } catch {
    return new AudioContext();
  }
}
