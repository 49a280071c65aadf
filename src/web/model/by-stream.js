// @ts-check
// Plays the stream: every packet, in order, from the player's buffer.

import { linked } from "../media/linked.js";
import { Player } from "../media/player.js";
import { receive } from "../media/stream.js";
import { STEP } from "./steps.js";

const OPUS_RATE = 48_000;

/** @typedef {import("./delivery.js").Delivery} Delivery */

/** @implements {Delivery} */
export class ByStream {
  /** @type {"stream"} */
  kind = "stream";

  picture;

  #player;

  /** @param {import("./delivery.js").Means} means */
  constructor({ sound, picture }) {
    this.#player = new Player(sound.element);
    this.picture = picture;
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
        this.picture.head(head);
      },
      packets: (packets, granule) => {
        this.#player.packets(packets, granule);
        this.picture.packets(packets, granule);
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
   * @param {import("./clock.js").LiveClock} clock
   * @param {number} now
   */
  behind(clock, now) {
    const { position } = this.#player;
    const live = clock.live(now);
    return position === null || live === null ? null : (live - position) / OPUS_RATE;
  }

  edge() {
    const { position } = this.#player;
    return position === null ? null : position / STEP;
  }

  toLive() {
    this.#player.toLive();
  }

  close() {
    this.#player.close();
  }
}
