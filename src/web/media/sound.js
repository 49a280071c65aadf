// The way of the sound from an element to the ear, past the eyes.
//
//   element ─► tap (what is seen) ─► volume ─► loudspeaker
//
// What is seen does not depend on how loud it is played. There is one of these for the whole page, so
// two microphones can never be heard at once; it is made at the first click, as browsers allow no
// sound before, and again only for another sample rate.

const FFT = 2048;

export class Sound {
  #volume;

  constructor(rate, volume) {
    this.element = new Audio();
    this.element.preload = "none";
    this.element.preservesPitch = true;
    this.context = context(rate);
    this.tap = this.context.createAnalyser();
    this.tap.fftSize = FFT;
    this.tap.smoothingTimeConstant = 0;
    this.#volume = this.context.createGain();
    this.#volume.gain.value = gain(volume);
    this.context
      .createMediaElementSource(this.element)
      .connect(this.tap)
      .connect(this.#volume)
      .connect(this.context.destination);
    // Else a phone takes this for a page's noises, and silences it with its screen.
    if (navigator.audioSession) navigator.audioSession.type = "playback";
  }

  get rate() {
    return this.context.sampleRate;
  }

  /** From 0 to 1. A step in loudness would click. */
  set volume(volume) {
    this.#volume.gain.setTargetAtTime(gain(volume), this.context.currentTime, 0.015);
  }

  /** Seconds from the element to the ear. */
  get delay() {
    return this.context.outputLatency || this.context.baseLatency || 0;
  }

  /** Lets it sound. It must be called from a click. */
  async play() {
    // Where there is no sound card a context never starts, and nobody should wait for it.
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

// Ears hear ratios: half of the way down is a quarter of the pressure.
function gain(volume) {
  return volume * volume;
}

function context(sampleRate) {
  try {
    return new AudioContext({ sampleRate, latencyHint: "interactive" });
  } catch {
    return new AudioContext();
  }
}
