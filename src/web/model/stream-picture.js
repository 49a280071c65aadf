// @ts-check
// The picture of a stream: its packets, decoded apart from playback, at their place in the stream.

import { decoder } from "../media/decoder.js";
import { sameDecoder } from "../media/opus.js";
import { Columns, STEP } from "./columns.js";

/**
 * @typedef {import("../media/opus.js").Head} Head
 * @typedef {import("../media/opus.js").Packet} Packet
 */

// Steps that are kept: a minute and more, which is wider than any screen.
const KEPT = 4096;

export class StreamPicture {
  columns = new Columns(KEPT);

  /** @type {import("../media/decoder.js").Decoder | null} */
  #decoder = null;
  /** @type {Head | null} */
  #head = null;

  /** @param {Head} head Of the packets that follow. */
  head(head) {
    if (this.#head && sameDecoder(this.#head, head)) return;
    this.#head = head;
    this.#decoder?.close();
    this.#decoder = decoder(head, (samples, granule) => this.columns.add(samples, granule));
  }

  /**
   * @param {Packet[]} packets
   * @param {number} granule
   */
  packets(packets, granule) {
    this.#decoder?.packets(packets, granule);
  }

  /**
   * The step that a sample belongs to, with its fraction.
   *
   * @param {number} granule
   */
  step(granule) {
    return granule / STEP;
  }

  close() {
    this.#decoder?.close();
  }
}
