// @ts-check
// Plays the stream: every packet, in order, from the player's buffer.

import { fetchClip } from "../media/clip.js";
import { linked } from "../media/linked.js";
import { Player } from "../media/player.js";
import { receive } from "../media/stream.js";
import { STEP, StreamPicture } from "./stream-picture.js";

const OPUS_RATE = 48_000;

/** @typedef {import("./delivery.js").Delivery} Delivery */

/** @implements {Delivery} */
export class ByStream {
  /** @type {"stream"} */
  kind = "stream";

  #player;
  #picture = new StreamPicture();

  #clock;
  #hasPast = false;

  /**
   * @param {import("../media/sound.js").Sound} sound
   * @param {import("./clock.js").LiveClock} clock
   */
  constructor(sound, clock) {
    this.#player = new Player(sound.element);
    this.#clock = clock;
  }

  /**
   * @param {import("./session.js").Session} session
   * @param {import("./delivery.js").MountRequest} request
   * @param {(isHeard: boolean) => void} heard
   * @returns {Promise<never>}
   */
  async play(session, request, heard) {
    const { stream, options } = request;
    const attempt = linked(session.signal);
    const received = receive(stream, options, attempt.signal, {
      head: (head) => {
        this.#player.head(head);
        this.#picture.head(head);
      },
      packets: (packets, granule) => {
        this.#player.packets(packets, granule);
        this.#picture.packets(packets, granule);
        this.#showPast(request);
        heard(true);
      },
    });
    try {
      return await Promise.race([session.failed(), received]);
    } finally {
      attempt.abort();
    }
  }

  /**
   * Shows what was before, once.
   *
   * @param {import("./delivery.js").MountRequest} request
   */
  async #showPast({ clip: url, options }) {
    if (this.#hasPast) return;
    this.#hasPast = true;
    const clip = await fetchClip(url, options).catch(() => null);
    const granule = clip && this.#clock.granule(clip.date);
    if (clip && granule !== null) this.#picture.fill(clip, granule);
  }

  /**
   * @param {import("./clock.js").LiveClock} clock
   * @param {number} now
   */
  behind(clock, now) {
    const { position } = this.#player;
    const live = clock.live(now);
    return position === null || live === null ? null : (live - position) / OPUS_RATE;
  }

  /** @param {import("./clock.js").LiveClock} clock */
  wall(clock) {
    const { position } = this.#player;
    return position === null ? null : clock.wall(position);
  }

  see() {
    const { position } = this.#player;
    return { columns: this.#picture.columns, edge: position === null ? null : position / STEP };
  }

  toLive() {
    this.#player.toLive();
  }

  close() {
    this.#player.close();
    this.#picture.close();
  }
}
