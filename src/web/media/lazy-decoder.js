// @ts-check
// Decodes packets for a picture while the page is visible. What comes while it is hidden waits until it is seen again,
// as decoding takes more than playing.

import { decoder } from "./decoder.js";

/**
 * @typedef {import("./decoder.js").Decoder} Decoder
 * @typedef {import("./opus.js").Head} Head
 * @typedef {import("./opus.js").Packet} Packet
 */

const RATE = 48_000;
// So much is decoded in any case: the graph's check, which is at the beginning of playback, needs it.
const EAGER = 10 * RATE;
// What has waited is decoded in portions of this length: in one piece, the page would not react meanwhile.
const PORTION = 2 * RATE;

/**
 * Packets that follow each other.
 *
 * @typedef {{ packets: Packet[], granule: number, length: number }} Portion
 */

/** @implements {Decoder} */
export class LazyDecoder {
  #decoder;
  #most;
  #eager = EAGER; // samples that are still decoded in any case
  /** @type {Portion[]} */
  #waiting = [];

  /**
   * @param {Head} head
   * @param {import("./decoder.js").Sink} sink
   * @param {() => number} most How many samples wait at most. Older ones are left out.
   */
  constructor(head, sink, most) {
    this.#decoder = decoder(head, sink);
    this.#most = most;
    document.addEventListener("visibilitychange", this.#seen);
  }

  /**
   * @param {Packet[]} packets
   * @param {number} granule
   */
  packets(packets, granule) {
    const length = packets.reduce((sum, packet) => sum + packet.samples, 0);
    const last = this.#waiting.at(-1);
    if (last && last.granule + last.length === granule && last.length < PORTION) {
      last.packets.push(...packets);
      last.length += length;
    } else this.#waiting.push({ packets: [...packets], granule, length });
    const oldest = granule + length - this.#most();
    while (this.#waiting[0].granule + this.#waiting[0].length < oldest) this.#waiting.shift();
    if (this.#eager <= 0) this.#seen();
    else this.#decode();
    this.#eager -= length;
  }

  #seen = () => {
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
    document.removeEventListener("visibilitychange", this.#seen);
    this.#waiting = [];
    this.#decoder.close();
  }
}
