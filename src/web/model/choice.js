// @ts-check
// Which microphone the play button plays.
//
// Until a person has chosen one, this follows what is on the air. Afterwards it stays with that microphone while it is
// listed or played.

import { absent } from "./mounts.js";

/** @typedef {import("./mounts.js").Mount} Mount */

/**
 * The name of the mount in the parameters of a page's address, with or without its first slash; null if there is none.
 *
 * @param {string} search
 */
export function named(search) {
  const name = new URLSearchParams(search).get("mount");
  return name && `/${name.replace(/^\/+/, "")}`;
}

export class Choice {
  /** @type {Mount | null} */
  mount = null;

  #named;
  #suggested;
  #picked = false;

  /**
   * @param {string | null} wanted What the page's address names; it is meant whether it is on the air or not.
   * @param {string} suggested What was played last; it counts only while it is on the air.
   */
  constructor(wanted, suggested) {
    this.#named = wanted;
    this.#suggested = suggested;
  }

  /**
   * A person chose this one.
   *
   * @param {Mount} mount
   */
  pick(mount) {
    this.mount = mount;
    this.#picked = true;
  }

  /**
   * The list has changed.
   *
   * @param {ReadonlyMap<string, Mount>} all
   * @param {boolean} active Whether listening is not idle.
   */
  follow(all, active) {
    const listed = this.mount && all.get(this.mount.name);
    if (this.#picked && (listed || active)) this.mount = listed ?? this.mount;
    else this.mount = all.get(this.#named ?? this.#suggested) ?? this.#otherwise(all);
  }

  /**
   * @param {ReadonlyMap<string, Mount>} all
   * @returns {Mount | null}
   */
  #otherwise(all) {
    if (this.#named) return absent(this.#named);
    const mounts = [...all.values()];
    // One that can be heard at once, or with a password, or none.
    const wanted = [
      (/** @type {Mount} */ { access, state }) => access === "public" && state === "live",
      (/** @type {Mount} */ { access }) => access === "public",
      (/** @type {Mount} */ { access }) => access !== "closed",
      () => true,
    ];
    return wanted.map((is) => mounts.find(is)).find(Boolean) ?? null;
  }
}
