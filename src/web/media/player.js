// @ts-check
// Plays Opus packets as they arrive, near live, with Media Source Extensions.
//
// These do not need a secure context, which a station on plain http is not, and playback continues while a phone's
// screen is locked. The element's time has no gaps, whatever the stream does; `position` is the granule that it is at.
// `CatchUp` decides how fast to play. What was played is removed.

import { join } from "./bytes.js";
import { CatchUp, LEAST } from "./catch-up.js";
import { container, Source, TYPE } from "./container.js";
import { totalSamples } from "./opus.js";

/** @typedef {import("./bytes.js").Bytes} Bytes */

const RATE = 48_000;
// Seconds that are kept after they were played, and how many more there must be before they are removed.
const KEPT = 5;
const WORTH = 10;
// From this far behind, in seconds, catching up by playing faster would take more than a minute.
const HOPELESS = 6;

export class Player {
  #element;
  #url;
  /** @type {SourceBuffer | null} */
  #buffer = null;
  /**
   * What is to be appended.
   *
   * @type {Bytes[]}
   */
  #waiting = [];
  /**
   * What is collected for the next fragment.
   *
   * @type {import("./opus.js").Packet[]}
   */
  #collected = [];
  #time = 0; // where it ends, in samples
  #fragmentsEnd = 0; // where the newest fragment ends, in samples
  #sequence = 0;
  /**
   * Where the stream jumped.
   *
   * @type {{ time: number, granule: number }[]}
   */
  #places = [];
  #catchUp = new CatchUp();
  #closed = false;

  /** @param {HTMLMediaElement} element */
  constructor(element) {
    this.#element = element;
    const source = new Source();
    // Safari requires this before an element gets a managed source.
    element.disableRemotePlayback = true;
    this.#url = URL.createObjectURL(source);
    source.addEventListener("sourceopen", () => this.#open(source), { once: true });
    element.addEventListener("waiting", this.#starved);
    element.src = this.#url;
  }

  /** @param {MediaSource} source */
  #open(source) {
    URL.revokeObjectURL(this.#url);
    if (this.#closed) return;
    this.#buffer = source.addSourceBuffer(TYPE);
    this.#buffer.addEventListener("updateend", () => this.#pump());
    this.#pump();
  }

  #starved = () => {
    if (this.#element.currentTime > 0) this.#catchUp.starved(seconds());
  };

  /** @param {import("./opus.js").Head} head */
  head(head) {
    this.#fragmentCollected();
    this.#waiting.push(container.init(head));
  }

  /**
   * @param {import("./opus.js").Packet[]} packets
   * @param {number} granule Where the first of them begins.
   */
  packets(packets, granule) {
    const place = this.#places.at(-1);
    if (!place || place.granule + this.#time - place.time !== granule) {
      this.#places.push({ time: this.#time, granule });
    }
    this.#collected.push(...packets);
    this.#time += totalSamples(packets);
    const now = seconds();
    const end = this.#fragmentsEnd / RATE;
    if (this.#time / RATE - end < this.#catchUp.portion(now, document.hidden)) return;
    this.#fragmentCollected();
    const position = this.#element.currentTime;
    if (position > 0 && !this.#element.paused) {
      const rate = this.#catchUp.arrived(now, end, position);
      if (this.#element.playbackRate !== rate) this.#element.playbackRate = rate;
      if (end - position > HOPELESS) this.toLive();
    }
    this.#pump();
  }

  // Makes a fragment of what is collected.
  #fragmentCollected() {
    if (this.#collected.length === 0) return;
    this.#sequence += 1;
    this.#waiting.push(container.fragment(this.#sequence, this.#fragmentsEnd, this.#collected));
    this.#collected = [];
    this.#fragmentsEnd = this.#time;
  }

  /** The granule that is heard now, or null before playback has begun. */
  get position() {
    const time = this.#element.currentTime * RATE;
    const place = this.#places.findLast((one) => one.time <= time);
    return place && time > 0 ? place.granule + time - place.time : null;
  }

  /** Seconds from the newest sample to the one that is heard now, or null before playback has begun. */
  get lag() {
    const time = this.#element.currentTime;
    return time > 0 ? this.#time / RATE - time : null;
  }

  /** Skips what has not been played yet, except for the margin. */
  toLive() {
    this.#fragmentCollected();
    this.#pump();
    const target = this.#time / RATE - this.#catchUp.margin - 0.1;
    if (target <= this.#element.currentTime) return;
    this.#element.currentTime = target;
  }

  #pump() {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#closed || this.#waiting.length === 0) return;
    // A browser that began with the first page would run out of audio before the second.
    if (this.#time < LEAST * RATE) return;
    const old = this.#element.currentTime - KEPT;
    try {
      if (buffer.buffered.length > 0 && buffer.buffered.start(0) < old - WORTH) {
        buffer.remove(0, old);
        return;
      }
      const given = this.#waiting;
      this.#waiting = [];
      buffer.appendBuffer(join(given));
    } catch (error) {
      // The element has failed, which it reports itself, or it has got another source.
      this.#waiting = [];
      this.#element.dispatchEvent(new CustomEvent("unplayable", { detail: error }));
    }
    const time = this.#element.currentTime * RATE;
    const isOver = () => this.#places.length > 1 && this.#places[1].time < time - KEPT * RATE;
    while (isOver()) this.#places.shift();
  }

  close() {
    this.#closed = true;
    this.#element.removeEventListener("waiting", this.#starved);
    this.#element.playbackRate = 1;
    URL.revokeObjectURL(this.#url);
  }
}

function seconds() {
  return performance.now() / 1000;
}
