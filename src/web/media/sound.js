// @ts-check
// What makes the sound: elements, through the audio graph or by themselves.
//
// Without the graph there is neither gain nor filter. It is left out where it would hurt: some browsers give it nothing
// but zeros of what an element plays, and Apple's systems stop it when the screen is locked. The page has one `Sound`,
// so two microphones are never heard at once. It is created at the first click, as browsers allow no sound before, and
// again only for another sample rate, or for the other way.

import { Graph } from "./graph.js";

export class Sound {
  /** Takes the MediaStream: Chromium decodes only what an element plays. */
  #receiver = new Audio();
  /** Plays a part of the past. */
  #past = new Audio();
  /** @type {Graph | null} */
  #graph;
  /** What ends the part of the past. */
  #endPast = () => {};

  /**
   * @param {number} rate
   * @param {boolean} isDirect Whether elements sound by themselves.
   */
  constructor(rate, isDirect) {
    this.element = new Audio();
    this.element.preload = "none";
    this.element.preservesPitch = true;
    this.#graph = isDirect ? null : new Graph(rate, this.element, this.#past);
    this.#receiver.muted = this.#graph !== null;
    this.rate = this.#graph?.context.sampleRate ?? rate;
    // Otherwise a phone treats this as sound effects and mutes it with its screen.
    if (navigator.audioSession) navigator.audioSession.type = "playback";
  }

  get isDirect() {
    return this.#graph === null;
  }

  /** Gives samples of what is live; null if that is not possible. */
  get analyser() {
    return this.#graph?.analyser ?? null;
  }

  /** Whether the graph gets exactly zero at the moment. */
  get isZero() {
    return this.#graph?.isZero ?? false;
  }

  /** @param {number} volume From 0 to 1. */
  set volume(volume) {
    if (this.#graph) this.#graph.volume = gain(volume);
    else for (const element of this.#all()) element.volume = gain(volume);
  }

  /** @param {import("./hearing.js").Settings} settings */
  set hearing(settings) {
    this.#graph?.hearing.set(settings);
  }

  /** Seconds from the element to the loudspeaker. */
  get delay() {
    return this.#graph?.delay ?? 0;
  }

  /**
   * Calls `work` when the system stops what the graph plays.
   *
   * @param {() => void} work
   */
  onSuspended(work) {
    const context = this.#graph?.context;
    context?.addEventListener("statechange", () => {
      if (context.state !== "running") work();
    });
  }

  /**
   * Plays a MediaStream from now on, instead of the element.
   *
   * @param {MediaStream} stream
   */
  receive(stream) {
    this.stop();
    this.#graph?.receive(stream);
    this.#receiver.srcObject = stream;
  }

  /** Starts playback. Must be called from a click. */
  async play() {
    this.#resume();
    await (this.#receiver.srcObject ? this.#receiver : this.element).play();
  }

  // Not awaited: without a sound card, a context never starts.
  #resume() {
    this.#graph?.context.resume().catch(() => {});
  }

  /**
   * Plays a file in place of what is live, and then what is live again. Resolves at its end, or when `endPast` is called.
   *
   * @param {Blob} file
   * @param {number} from Where it begins to be heard, in seconds.
   * @param {{ low: number, high: number }} band The frequencies that are heard, in Hz.
   */
  async playPast(file, from, band) {
    this.#endPast();
    const url = URL.createObjectURL(file);
    const past = this.#past;
    this.#resume();
    try {
      await new Promise((resolve, reject) => {
        this.#endPast = () => resolve(null);
        past.onended = resolve;
        past.onerror = reject;
        past.onloadedmetadata = () => {
          past.currentTime = from;
          past.play().then(() => this.#again(band), reject);
        };
        past.src = url;
      });
    } finally {
      this.#again(null);
      past.pause();
      URL.revokeObjectURL(url);
    }
  }

  /** Goes back to what is live. */
  endPast() {
    this.#endPast();
  }

  /** Where in the file the part of the past is, in seconds. */
  get pastTime() {
    return this.#past.currentTime;
  }

  /** @param {{ low: number, high: number } | null} band */
  #again(band) {
    if (this.#graph) this.#graph.again = band;
    else this.element.muted = this.#receiver.muted = band !== null;
  }

  /** Stops playback of what is live. */
  stop() {
    this.#graph?.disconnect();
    this.#receiver.srcObject = null;
    // In a click, this also permits the element to play later, which Safari requires.
    empty(this.element);
  }

  close() {
    this.endPast();
    this.stop();
    this.#graph?.close();
  }

  #all() {
    return [this.element, this.#receiver, this.#past];
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
