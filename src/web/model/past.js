// @ts-check
// What was before, from the server's memory: fetched when it is to be seen.

import { offset } from "../media/alignment.js";
import { MISSING, RATE, UNKNOWN } from "./columns.js";
import { STEP } from "./steps.js";

/**
 * @typedef {import("../media/clip.js").Clip} Clip
 * @typedef {import("../media/opus.js").Packet} Packet
 */

/**
 * Where the server's memory can be asked.
 *
 * @typedef {object} Memory
 * @property {(query: string) => Promise<Clip | null>} clip A part of it.
 * @property {(query: string) => Promise<Blob | null>} file The same as a file.
 * @property {() => Promise<number | null>} begin When what is in memory begins, as Unix time in milliseconds.
 */

/** How many seconds are fetched first. */
const FIRST = 40;
// Seconds of a later clip.
const PORTION = 30;
// Live packets that are remembered, to find them in a clip.
const REMEMBERED = 100;
// More is not shown, in seconds: a second of it takes 60 KiB.
const MOST = 900;
// What was too short to be worth a request, in steps.
const SHORT = RATE / 10;
// What is this near to live may still come by itself, in steps.
const RECENT = 3 * RATE;

export class Past {
  #memory;
  #clock;
  #columns;
  #fill;
  /** @type {import("../media/alignment.js").PlacedPacket[]} */
  #live = [];
  #error = 0; // of the clock's granules, in samples
  #busy = false;
  #begun = false;
  /**
   * What was asked for already, in steps.
   *
   * @type {{ from: number, to: number }[]}
   */
  #asked = [];
  /**
   * The first step in memory, as it was when that was asked.
   *
   * @type {number | null}
   */
  #oldest = null;

  /**
   * @param {Memory} memory
   * @param {import("./clock.js").LiveClock} clock
   * @param {import("./columns.js").Columns} columns
   * @param {(clip: Clip, granule: number) => Promise<void>} fill Takes a clip, and the granule of its first sample.
   */
  constructor(memory, clock, columns, fill) {
    this.#memory = memory;
    this.#clock = clock;
    this.#columns = columns;
    this.#fill = fill;
  }

  /**
   * These have come.
   *
   * @param {Packet[]} packets
   * @param {number} granule
   */
  live(packets, granule) {
    for (const { data, samples } of packets) {
      this.#live.push({ data, at: granule });
      granule += samples;
    }
    this.#live.splice(0, this.#live.length - REMEMBERED);
  }

  /** Fetches the newest part, once. */
  async begin() {
    if (this.#begun) return;
    this.#begun = true;
    this.#busy = true;
    const clip = await this.#memory.clip(`clip=${FIRST}s`).catch(() => null);
    if (clip) await this.show(clip);
    this.#busy = false;
  }

  /**
   * Begins to fetch what is not known of these steps, the newest part first. Returns null if all is known, or if a part
   * is on its way already.
   *
   * @param {number} from
   * @param {number} to
   * @returns {Promise<void> | null}
   */
  reach(from, to) {
    if (this.#busy) return null;
    const wanted = this.#unknown(Math.max(from, this.#oldest ?? 0), Math.min(to, this.#columns.end - RECENT));
    return wanted && this.#reach(wanted);
  }

  /** @param {{ from: number, to: number }} wanted */
  async #reach({ from, to }) {
    this.#busy = true;
    this.#asked.push({ from, to });
    if (this.#oldest === null) await this.measure();
    const clip = await this.cut(from, to);
    if (clip) await this.show(clip);
    this.#busy = false;
  }

  /** Asks the server how much it has. */
  async measure() {
    const begin = await this.#memory.begin().catch(() => null);
    const granule = begin === null ? null : this.#clock.granule(begin);
    // A moment later the oldest part is no longer there.
    this.#oldest = granule === null ? Infinity : granule / STEP + RATE;
    const columns = this.#columns;
    columns.kept = Math.max(columns.kept, Math.min(MOST * RATE, columns.end - this.#oldest + 10 * RATE));
  }

  /**
   * A clip of these steps, or of those that the server still has. Null if it has none of them.
   *
   * @param {number} from
   * @param {number} to
   */
  async cut(from, to) {
    const clip = await this.#clip(from, to);
    if (clip) return clip;
    await this.measure();
    return this.#clip(from, to);
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  async #clip(from, to) {
    const query = this.#query(Math.max(from, this.#oldest ?? from), to);
    return query && this.#memory.clip(query).catch(() => null);
  }

  /**
   * The same as a file.
   *
   * @param {number} from
   * @param {number} to
   */
  async file(from, to) {
    const query = this.#query(from, to);
    return query && this.#memory.file(query).catch(() => null);
  }

  /**
   * The parameters of a request for a clip of these steps, or null if their time is not known.
   *
   * @param {number} from
   * @param {number} to
   */
  #query(from, to) {
    if (from >= to) return null;
    const times = [from, to].map((step) => this.#clock.wall(step * STEP - this.#error));
    const [begin, end] = times.map((time) => time !== null && new Date(time).toISOString());
    return begin && end ? `from=${begin}&to=${end}` : null;
  }

  /** How many steps before the newest one the server has, as far as that is known. */
  get length() {
    return this.#columns.end - Math.min(this.#columns.begin, this.#oldest ?? Infinity);
  }

  /**
   * The newest of these steps that are not known and were not asked for.
   *
   * @param {number} from
   * @param {number} to
   */
  #unknown(from, to) {
    const isUnknown = (/** @type {number} */ step) => {
      const state = this.#columns.state(step);
      return (state === UNKNOWN || state === MISSING) && !this.#asked.some((part) => step >= part.from && step < part.to);
    };
    let last = Math.floor(to);
    while (last > from && !isUnknown(last - 1)) last -= 1;
    let first = last;
    while (first > from && last - first < PORTION * RATE && isUnknown(first - 1)) first -= 1;
    return last - first < SHORT ? null : { from: first, to: last };
  }

  /**
   * Adds a clip to the picture.
   *
   * @param {Clip} clip
   */
  async show(clip) {
    const granule = this.place(clip);
    if (granule !== null) await this.#fill(clip, granule);
  }

  /**
   * The granule of a clip's first sample, or null if that is not known.
   *
   * @param {Clip} clip
   * @returns {number | null}
   */
  place(clip) {
    const byClock = this.#clock.granule(clip.date);
    if (byClock === null) return null;
    // The clock is right to some 20 ms, and the packets to the sample.
    const error = offset(placed(clip, byClock), this.#live);
    if (error !== null) this.#error = error;
    return byClock + this.#error;
  }

  /** How much later the granule of a time is than the clock says, in samples. */
  get error() {
    return this.#error;
  }
}

/**
 * A clip's packets, each with its granule.
 *
 * @param {Clip} clip
 * @param {number} granule Of the clip's first sample, which follows what only prepares the decoder.
 */
export function placed({ head, packets }, granule) {
  let at = granule - head.preSkip;
  return packets.map(({ data, samples }) => {
    const one = { data, at };
    at += samples;
    return one;
  });
}
