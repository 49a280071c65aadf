// @ts-check
// Where in the stream the packets of WebRTC belong, which have a time of their own.
//
// The server's memory has the same packets with their date. Until the first of them are found there, all wait. Where
// that fails, as in silence, the clock says where they belong, to some hundredths of a second.

import { offset } from "../media/alignment.js";
import { placed } from "./past.js";

/** @typedef {import("../media/opus.js").Packet} Packet */

const RATE = 48_000;
// So many seconds have to be there before the server is asked, and so many of its memory are asked for.
const ENOUGH = 0.3;
const ASKED = 3;
// When the clock says something else by so many seconds, they belong elsewhere: the server's stream is another one.
const OFF = 1;
// Seconds that wait at most.
const MOST = 5;

export class RtpPlaces {
  #picture;
  #memory;
  #clock;
  /** @type {{ packet: Packet, begin: number }[]} */
  #waiting = [];
  /** @type {number | null} */
  #shift = null;
  #asking = false;

  /** Where the newest packet that has its place ends, as a granule. */
  newest = 0;

  /**
   * @param {import("./stream-picture.js").StreamPicture} picture
   * @param {import("./past.js").Memory} memory
   * @param {import("./clock.js").LiveClock} clock
   */
  constructor(picture, memory, clock) {
    this.#picture = picture;
    this.#memory = memory;
    this.#clock = clock;
  }

  /**
   * @param {Packet} packet
   * @param {number} begin In the time of RTP.
   * @param {number} now
   */
  add(packet, begin, now) {
    const live = this.#clock.live(now);
    if (this.#shift !== null && live !== null && Math.abs(begin + this.#shift - live) > OFF * RATE) this.#shift = null;
    if (this.#shift !== null) {
      this.#show(packet, begin + this.#shift);
      return;
    }
    this.#waiting.push({ packet, begin });
    const waiting = (begin - this.#waiting[0].begin) / RATE;
    if (waiting > MOST) this.#waiting.shift();
    if (waiting > ENOUGH && live !== null) this.#find(live);
  }

  /** @param {number} live The newest granule, as the clock says. */
  async #find(live) {
    if (this.#asking) return;
    this.#asking = true;
    const byClock = live - (this.#waiting.at(-1)?.begin ?? 0);
    const clip = await this.#memory.clip(`clip=${ASKED}s`).catch(() => null);
    const granule = clip && this.#picture.past.place(clip);
    // What came before the first packet is in it too.
    if (clip) this.#picture.past.show(clip);
    const waiting = this.#waiting.map(({ packet, begin }) => ({ data: packet.data, at: begin }));
    const exact = clip && granule !== null ? offset(waiting, placed(clip, granule)) : null;
    this.#shift = Math.round(exact ?? byClock);
    this.#asking = false;
    for (const { packet, begin } of this.#waiting.splice(0)) this.#show(packet, begin + this.#shift);
  }

  /**
   * @param {Packet} packet
   * @param {number} granule
   */
  #show(packet, granule) {
    this.newest = granule + packet.samples;
    this.#picture.packets([packet], granule);
  }
}
