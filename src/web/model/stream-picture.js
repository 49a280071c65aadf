// @ts-check
// The picture of a stream: its packets, decoded apart from playback, at their place in the stream.
//
// What is shown is a matter of where a sample is in the stream, and not of when it was played. So it is the same at any
// speed of playback, in a tab that was hidden, and when it arrives late. It goes on when the connection is another one.

import { LazyDecoder } from "../media/lazy-decoder.js";
import { sameDecoder, totalSamples } from "../media/opus.js";
import { addClip } from "./add-clip.js";
import { Columns } from "./columns.js";
import { Past } from "./past.js";
import { SIZE, STEP, Steps } from "./steps.js";

/**
 * @typedef {import("../media/opus.js").Head} Head
 * @typedef {import("../media/opus.js").Packet} Packet
 */

// A packet so many samples before what has come belongs to another stream: the server was started again.
const RESTART = 48_000;

export class StreamPicture {
  columns = new Columns(SIZE / 2);

  /** @type {LazyDecoder | null} */
  #decoder = null;
  /** @type {Head | null} */
  #head = null;
  #newest = 0; // where the newest packet ends
  #memory;
  #clock;
  #past;

  /**
   * @param {import("./past.js").Memory} memory
   * @param {import("./clock.js").LiveClock} clock
   */
  constructor(memory, clock) {
    this.#memory = memory;
    this.#clock = clock;
    this.#past = this.#begin();
  }

  /** What was before. */
  get past() {
    return this.#past;
  }

  /** @param {Head} head Of the packets that follow. */
  head(head) {
    if (this.#head && sameDecoder(this.#head, head)) return;
    this.#head = head;
    this.#decode();
  }

  /**
   * @param {Packet[]} packets
   * @param {number} granule
   */
  packets(packets, granule) {
    if (granule < this.#newest - RESTART) {
      this.columns = new Columns(SIZE / 2);
      this.#past = this.#begin();
      this.#decoder?.close();
      this.#decoder = null;
      this.#decode();
    }
    const isFirst = this.#newest === 0;
    this.#newest = granule + totalSamples(packets);
    this.#past.live(packets, granule);
    this.#decoder?.packets(packets, granule);
    if (isFirst) this.#past.begin();
  }

  /**
   * The microphone's wall clock at the beginning of a step, as Unix time in milliseconds, or null if that is not known.
   *
   * @param {number} step
   */
  time(step) {
    return this.#clock.wall(step * STEP - this.#past.error);
  }

  /**
   * What is known of the source has changed.
   *
   * @param {boolean} isAbsent Whether it sends nothing.
   * @param {number} since Unix time in milliseconds.
   */
  source(isAbsent, since) {
    const granule = this.#clock.granule(since);
    if (granule === null) return;
    const step = Math.floor((granule + this.#past.error) / STEP);
    if (isAbsent) this.columns.absentFrom(step);
    else this.columns.absentUntil(step);
  }

  close() {
    this.#decoder?.close();
    this.#decoder = null;
    this.#head = null;
  }

  #decode() {
    const before = this.#decoder;
    // What it was given already is a part of the picture.
    before?.flush().then(() => before.close());
    const { columns } = this;
    const steps = new Steps(columns);
    this.#decoder =
      this.#head &&
      new LazyDecoder(this.#head, (samples, granule) => steps.add(samples, granule), () => columns.kept * STEP);
  }

  #begin() {
    this.#newest = 0;
    const { columns } = this;
    return new Past(this.#memory, this.#clock, columns, (clip, granule) => addClip(columns, clip, granule));
  }
}
