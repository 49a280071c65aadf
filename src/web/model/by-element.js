// @ts-check
// Gives the stream's URL to the browser, where this page cannot take the stream apart, or where a person wants to hear
// it with the screen off: seconds behind live.

import { NoSound, refusal } from "../media/no-sound.js";
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
   * @returns {Promise<never>}
   */
  async play(session, { stream, hls, options, login }) {
    const element = this.#element;
    const isOgg = element.canPlayType('audio/ogg; codecs="opus"') !== "";
    const url = !isOgg && hls && element.canPlayType("application/vnd.apple.mpegurl") ? hls : stream;
    const failed = session.failed();
    // Why an element fails, it does not say.
    const response = await fetch(url, { ...options, method: "HEAD", signal: session.signal });
    if (!response.ok) throw refusal(response);
    if (login) await logIn(url, login);
    if (session.over) throw new NoSound("lost");
    element.src = url;
    // Only now there is something to play.
    session.start();
    return failed;
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

/**
 * Lets the browser know a password, which an element cannot be given: it sends it with all further requests for this
 * station. No other request takes a password that the browser then remembers.
 *
 * @param {string} url
 * @param {{ user: string, password: string }} login
 * @returns {Promise<void>}
 */
function logIn(url, { user, password }) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("HEAD", url, true, user, password);
    request.onloadend = () => resolve();
    request.send();
  });
}
