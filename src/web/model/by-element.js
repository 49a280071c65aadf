// @ts-check
// Gives the stream's URL to the browser, where this page cannot take the stream apart: seconds behind live.

import { PlaybackPicture } from "./playback-picture.js";

/** @typedef {import("./delivery.js").Delivery} Delivery */

/** @implements {Delivery} */
export class ByElement {
  /** @type {"element"} */
  kind = "element";

  #element;
  #picture;

  /** @param {import("../media/sound.js").Sound} sound */
  constructor(sound) {
    this.#element = sound.element;
    this.#picture = new PlaybackPicture(sound.analyser);
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

  wall() {
    return null;
  }

  /** @param {number} now */
  see(now) {
    return this.#picture.see(now);
  }

  toLive() {}

  close() {}
}
