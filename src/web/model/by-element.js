// @ts-check
// Gives the stream's URL to the browser, where this page cannot take the stream apart: seconds behind live.

/** @typedef {import("./delivery.js").Delivery} Delivery */

/** @implements {Delivery} */
export class ByElement {
  /** @type {"element"} */
  kind = "element";

  #element;

  /** @param {import("../media/sound.js").Sound} sound */
  constructor(sound) {
    this.#element = sound.element;
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

  toLive() {}

  close() {}
}
