// @ts-check
// Gives the stream's URL to the browser, where this page cannot take the stream apart: seconds behind live.

import { PlaybackPicture } from "./playback-picture.js";

/** @typedef {import("./delivery.js").Delivery} Delivery */

/** @implements {Delivery} */
export class ByElement {
  /** @type {"element"} */
  kind = "element";

  picture;

  #element;

  /** @param {import("./delivery.js").Means} means */
  constructor({ sound }) {
    this.#element = sound.element;
    this.picture = new PlaybackPicture(sound.analyser);
  }

  /**
   * @param {import("./session.js").Session} session
   * @param {import("./delivery.js").MountRequest} request
   */
  play(session, { stream }) {
    this.#element.src = stream;
    return session.failed();
  }

  // The element does not say where in the stream it is.
  behind() {
    return null;
  }

  /**
   * @param {import("./clock.js").LiveClock} _clock
   * @param {number} now
   */
  edge(_clock, now) {
    return this.picture.follow(now, null);
  }

  toLive() {}

  close() {}
}
