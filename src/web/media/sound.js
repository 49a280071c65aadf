// @ts-check
// The audio graph.
//
//   element ─► analyser (what is shown) ─► volume ─► loudspeaker
//
// What is shown does not depend on the volume. The page has one graph, so two microphones are never heard at once. It
// is created at the first click, as browsers allow no sound before, and again only for another sample rate.

const FFT = 2048;

export class Sound {
  #volume;

  /**
   * @param {number} rate
   * @param {number} volume From 0 to 1.
   */
  constructor(rate, volume) {
    this.element = new Audio();
    this.element.preload = "none";
    this.element.preservesPitch = true;
    this.context = context(rate);
    this.analyser = this.context.createAnalyser();
    this.analyser.fftSize = FFT;
    this.analyser.smoothingTimeConstant = 0;
    this.#volume = this.context.createGain();
    this.#volume.gain.value = gain(volume);
    this.context
      .createMediaElementSource(this.element)
      .connect(this.analyser)
      .connect(this.#volume)
      .connect(this.context.destination);
    // Otherwise a phone treats this as sound effects and mutes it with its screen.
    if (navigator.audioSession) navigator.audioSession.type = "playback";
  }

  get rate() {
    return this.context.sampleRate;
  }

  /** @param {number} volume From 0 to 1. A sudden change would be heard as a click. */
  set volume(volume) {
    this.#volume.gain.setTargetAtTime(gain(volume), this.context.currentTime, 0.015);
  }

  /** Seconds from the element to the loudspeaker. */
  get delay() {
    return this.context.outputLatency || this.context.baseLatency || 0;
  }

  /** Starts playback. Must be called from a click. */
  async play() {
    // Not awaited: without a sound card, a context never starts.
    this.context.resume().catch(() => {});
    await this.element.play();
  }

  stop() {
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.load();
  }

  close() {
    this.stop();
    this.context.close().catch(() => {});
  }
}

// Loudness is perceived as ratios: half of the slider is a quarter of the amplitude.
/** @param {number} volume */
function gain(volume) {
  return volume * volume;
}

/** @param {number} sampleRate */
function context(sampleRate) {
  try {
    return new AudioContext({ sampleRate, latencyHint: "interactive" });
  } catch {
    return new AudioContext();
  }
}
