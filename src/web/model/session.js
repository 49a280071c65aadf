// @ts-check
// Listening to one microphone, from one click to the next.

import { NoSound } from "../media/no-sound.js";

/** @typedef {import("./mounts.js").Mount} Mount */

export class Session {
  #abort = new AbortController();
  /** @type {(error: NoSound) => void} */
  #fail = () => {};
  hurry = () => {};
  /** Starts playback of what was given to the element. */
  start = () => {};
  /** Whether the microphone has been heard. */
  heard = false;
  /** Whether only the browser's own player can play the stream. */
  isForeign = false;
  /**
   * Why the stream is used although WebRTC is preferred.
   *
   * @type {import("../media/whep.js").Obstacle | null}
   */
  obstacle = null;

  /**
   * @param {Mount} mount
   * @param {import("../media/sound.js").Sound} sound
   */
  constructor(mount, sound) {
    this.mount = mount;
    this.sound = sound;
  }

  get signal() {
    return this.#abort.signal;
  }

  get over() {
    return this.signal.aborted;
  }

  end() {
    this.#abort.abort();
    this.fail(new NoSound("lost"));
    this.hurry();
  }

  ended() {
    return new Promise((resolve) => this.signal.addEventListener("abort", resolve, { once: true }));
  }

  /**
   * Rejects when the element fails.
   *
   * @returns {Promise<never>}
   */
  failed() {
    return new Promise((_, reject) => {
      this.#fail = reject;
    });
  }

  /** @param {NoSound} error */
  fail(error) {
    this.#fail(error);
  }

  /**
   * @param {number} milliseconds
   * @returns {Promise<void>}
   */
  pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
