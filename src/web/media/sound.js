// @ts-check
// The audio graph.
//
//   element ─► analyser (for where packets are not at hand) ─► volume ─► loudspeaker
//
// By WebRTC, the audio comes from a MediaStream, which takes the place of the element.
//
// What is shown does not depend on the volume. The page has one graph, so two microphones are never heard at once. It
// is created at the first click, as browsers allow no sound before, and again only for another sample rate.

const FFT = 2048;

export class Sound {
  #volume;
  /** Takes the MediaStream: Chromium decodes only what an element plays. */
  #receiver = new Audio();
  /** @type {MediaStreamAudioSourceNode | null} */
  #received = null;

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
    this.#receiver.muted = true;
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

  /**
   * Plays a MediaStream from now on, instead of the element.
   *
   * @param {MediaStream} stream
   */
  receive(stream) {
    this.stop();
    this.#received = this.context.createMediaStreamSource(stream);
    this.#received.connect(this.analyser);
    this.#receiver.srcObject = stream;
  }

  /** Starts playback. Must be called from a click. */
  async play() {
    // Not awaited: without a sound card, a context never starts.
    this.context.resume().catch(() => {});
    await (this.#receiver.srcObject ? this.#receiver : this.element).play();
  }

  /** Stops playback, of either. */
  stop() {
    this.#received?.disconnect();
    this.#received = null;
    this.#receiver.srcObject = null;
    // In a click, this also permits the element to play later, which Safari requires.
    empty(this.element);
  }

  close() {
    this.stop();
    this.context.close().catch(() => {});
  }
}

/** @param {HTMLMediaElement} element */
function empty(element) {
  element.pause();
  element.removeAttribute("src");
  element.load();
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
