// @ts-check
// What makes the sound: elements, through the audio graph or by themselves.
//
// Without the graph there is neither gain nor filter. It is left out where it would hurt: some browsers give it nothing
// but zeros of what an element plays, and Apple's systems stop it when the screen is locked. The page has one `Sound`,
// so two microphones are never heard at once, but for the moment in which one takes the place of the other. It is created
// at the first click, as browsers allow no sound before, and again only for another sample rate, or for the other way.

import { Graph } from "./graph.js";

// How long a sound takes to end, in seconds.
const SOFTLY = 0.12;

/** @typedef {ReturnType<Graph["voice"]>} Voice */

export class Sound {
  /** Plays what is live, unless that is a MediaStream. */
  element;

  /** Takes the MediaStream: Chromium decodes only what an element plays. */
  #receiver = new Audio();
  /** Plays a part of the past. */
  #past = new Audio();
  /** @type {Graph | null} */
  #graph;
  /**
   * What the element and the MediaStream have in the graph.
   *
   * @type {{ element: Voice | null, stream: Voice | null }}
   */
  #voices = { element: null, stream: null };
  /** Whether the MediaStream is what is live. */
  #isReceiving = false;
  #volume = 1;
  /** What ends the part of the past. */
  #endPast = () => {};

  /**
   * @param {number} rate
   * @param {boolean} isDirect Whether elements sound by themselves.
   */
  constructor(rate, isDirect) {
    this.#graph = isDirect ? null : new Graph(rate, this.#past);
    this.#receiver.muted = this.#graph !== null;
    this.rate = this.#graph?.context.sampleRate ?? rate;
    this.element = this.renew();
    // Otherwise a phone treats this as sound effects and mutes it with its screen.
    if (navigator.audioSession) navigator.audioSession.type = "playback";
  }

  /** Begins another sound: makes an element for it, which is silent until `begin`. */
  renew() {
    const element = new Audio();
    element.preload = "none";
    element.preservesPitch = true;
    element.volume = this.#graph ? 1 : gain(this.#volume);
    this.element = element;
    this.#voices.element = this.#graph?.voice(element) ?? null;
    return element;
  }

  /** Lets what is live be heard. */
  begin() {
    this.#voices.element?.begin();
    this.#voices.stream?.begin();
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
    this.#volume = volume;
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
    this.#voices.stream = this.#graph?.voice(stream) ?? null;
    this.#receiver.srcObject = stream;
    this.#isReceiving = true;
  }

  /** Ends the MediaStream. Resolves when it is not heard any more. */
  async endReceiving() {
    const { stream } = this.#voices;
    const { srcObject } = this.#receiver;
    this.#voices.stream = null;
    this.#isReceiving = false;
    await stream?.end();
    if (this.#receiver.srcObject === srcObject) this.#receiver.srcObject = null;
  }

  /** Starts playback. Must be called from a click. */
  async play() {
    this.#resume();
    await (this.#isReceiving ? this.#receiver : this.element).play();
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
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let end;
    this.#resume();
    try {
      await new Promise((resolve, reject) => {
        this.#endPast = () => resolve(null);
        past.onended = resolve;
        past.onerror = reject;
        past.onloadedmetadata = () => {
          past.currentTime = from;
        };
        past.onplaying = () => {
          this.#again(band);
          // Softly, before there is nothing more.
          end = setTimeout(resolve, (past.duration - past.currentTime - SOFTLY) * 1000);
        };
        past.src = url;
        past.play().catch(reject);
      });
    } finally {
      clearTimeout(end);
      this.#again(null);
      URL.revokeObjectURL(url);
      setTimeout(() => {
        if (past.src === url) past.pause();
      }, SOFTLY * 1000);
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

  /** Stops playback of what is live. What follows has another element. Resolves when nothing is heard any more. */
  async stop() {
    const [{ element }, voices] = [this, this.#voices];
    const receiving = this.endReceiving();
    await voices.element?.end();
    empty(element);
    await receiving;
  }

  async close() {
    this.endPast();
    await this.stop();
    this.#graph?.close();
  }

  #all() {
    return [this.element, this.#receiver, this.#past];
  }
}

/**
 * Lets go of what an element plays.
 *
 * @param {HTMLMediaElement} element
 */
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
