// Plays Opus packets as they come, near live, through Media Source Extensions.
//
// These need no secure context, which a station on plain http is not, and the sound goes on when the
// screen is locked. The element's time is gapless whatever the stream does; `position` says which
// granule it is at. Playing faster or slower is `CatchUp`'s decision. What was played is thrown away.

import { join } from "./ogg.js";
import * as mp4 from "./mp4.js";
import { LEAST, CatchUp } from "./catch-up.js";
import * as webm from "./webm.js";

const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
const RATE = 48_000;
// Seconds that are kept after they were played, and how many more make it worth while to throw away.
const BEHIND = 5;
const WORTH = 10;
// So far behind, catching up by playing faster would take more than a minute.
const HOPELESS = 6;

const container = [mp4, webm].find(({ TYPE }) => Source?.isTypeSupported(TYPE));

export const canPlay = Boolean(container);

export class Player {
  #element;
  #url;
  #buffer = null;
  #waiting = []; // to be appended
  #time = 0; // end of what was given, in samples
  #sequence = 0;
  #places = []; // { time, granule }: where the stream jumped
  #catchUp = new CatchUp();
  #closed = false;

  constructor(element) {
    this.#element = element;
    const source = new Source();
    // Safari wants this said before it gives a managed source to an element.
    element.disableRemotePlayback = true;
    this.#url = URL.createObjectURL(source);
    source.addEventListener("sourceopen", () => this.#open(source), { once: true });
    element.addEventListener("waiting", this.#starved);
    element.src = this.#url;
  }

  #open(source) {
    URL.revokeObjectURL(this.#url);
    if (this.#closed) return;
    this.#buffer = source.addSourceBuffer(container.TYPE);
    this.#buffer.addEventListener("updateend", () => this.#pump());
    this.#pump();
  }

  #starved = () => {
    if (this.#element.currentTime > 0) this.#catchUp.starved(seconds());
  };

  head(head) {
    this.#waiting.push(container.init(head));
  }

  packets(packets, granule) {
    const place = this.#places.at(-1);
    if (!place || place.granule + this.#time - place.time !== granule) {
      this.#places.push({ time: this.#time, granule });
    }
    const end = this.#time / RATE;
    this.#sequence += 1;
    this.#waiting.push(container.fragment(this.#sequence, this.#time, packets));
    this.#time += packets.reduce((sum, packet) => sum + packet.samples, 0);
    const position = this.#element.currentTime;
    if (position > 0 && !this.#element.paused) {
      const rate = this.#catchUp.arrived(seconds(), end, position);
      if (this.#element.playbackRate !== rate) this.#element.playbackRate = rate;
      if (end - position > HOPELESS) this.toLive();
    }
    this.#pump();
  }

  /** The granule that is heard now, or null before there is sound. */
  get position() {
    const time = this.#element.currentTime * RATE;
    const place = this.#places.findLast((place) => place.time <= time);
    return place && time > 0 ? place.granule + time - place.time : null;
  }

  /** Leaves out what has not been played yet, but for the margin. */
  toLive() {
    const target = this.#time / RATE - this.#catchUp.margin - 0.1;
    if (target <= this.#element.currentTime) return;
    this.#element.currentTime = target;
  }

  #pump() {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#closed || this.#waiting.length === 0) return;
    // A browser that would begin with the first page would run out of sound before the second.
    if (this.#time < LEAST * RATE) return;
    const old = this.#element.currentTime - BEHIND;
    try {
      if (buffer.buffered.length > 0 && buffer.buffered.start(0) < old - WORTH) {
        buffer.remove(0, old);
        return;
      }
      const given = this.#waiting;
      this.#waiting = [];
      buffer.appendBuffer(join(given));
    } catch (error) {
      // The element has failed, which it says itself, or was given another source.
      this.#waiting = [];
      this.#element.dispatchEvent(new CustomEvent("unplayable", { detail: error }));
    }
    const time = this.#element.currentTime * RATE;
    const isOver = () => this.#places.length > 1 && this.#places[1].time < time - BEHIND * RATE;
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
