// @ts-check
// Decodes packets for a picture while the page is visible. What comes while it is hidden waits until it is visible
// again, as decoding costs more than playing.

import { decoder } from "./decoder.js";
import { totalSamples } from "./opus.js";

/**
 * @typedef {import("./decoder.js").Decoder} Decoder
 * @typedef {import("./opus.js").Head} Head
 * @typedef {import("./opus.js").Packet} Packet
 */

const RATE = 48_000;
// So much is decoded in any case: the graph's check, which is at the beginning of playback, needs it.
const EAGER = 10 * RATE;
// What waits is joined to portions of this length: a file of it is decoded in less time than many short ones.
const PORTION = 2 * RATE;

/**
 * Packets that follow each other.
 *
 * @typedef {{ packets: Packet[], granule: number, length: number }} Portion
 */

/** @implements {Decoder} */
export class LazyDecoder {
  #decoder;
  #maxWaiting;
  #eager = EAGER; // samples that are still decoded in any case
  /** @type {Portion[]} */
  #waiting = [];

  /**
   * @param {Head} head
   * @param {import("./decoder.js").Sink} sink
   * @param {() => number} maxWaiting How many samples wait at most. Older ones are left out.
   */
  constructor(head, sink, maxWaiting) {
    this.#decoder = decoder(head, sink);
    this.#maxWaiting = maxWaiting;
    document.addEventListener("visibilitychange", this.#decodeIfVisible);
  }

  /**
   * @param {Packet[]} packets
   * @param {number} granule
   */
  packets(packets, granule) {
    const length = totalSamples(packets);
    const last = this.#waiting.at(-1);
    if (last && last.granule + last.length === granule && last.length < PORTION) {
      last.packets.push(...packets);
      last.length += length;
    } else this.#waiting.push({ packets: [...packets], granule, length });
    const oldest = granule + length - this.#maxWaiting();
    while (this.#waiting[0].granule + this.#waiting[0].length < oldest) this.#waiting.shift();
    if (this.#eager <= 0) this.#decodeIfVisible();
    else this.#decode();
    this.#eager -= length;
  }

  #decodeIfVisible = () => {
    if (!document.hidden) this.#decode();
  };

  #decode() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { packets, granule } of waiting) this.#decoder.packets(packets, granule);
  }

  flush() {
    this.#decode();
    return this.#decoder.flush();
  }

  close() {
    document.removeEventListener("visibilitychange", this.#decodeIfVisible);
    this.#waiting = [];
    this.#decoder.close();
  }
}
