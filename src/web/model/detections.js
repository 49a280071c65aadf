// @ts-check
// What detectors have heard at the microphone that is chosen: the server's list, and what comes while the page is open.

import { address } from "./mounts.js";

/**
 * As `openapi.json` describes it.
 *
 * @typedef {{
 *   name: string, scientific_name: string | null, common_name: string | null, confidence: number, start: string,
 *   end: string, low_frequency: number | null, high_frequency: number | null, clip: string | null,
 * }} Detection
 */

/** How many are shown. */
const MOST = 50;

export class Detections extends EventTarget {
  /**
   * The newest first.
   *
   * @type {Detection[]}
   */
  all = [];

  /** @type {string | null} */
  #name = null;

  /** @param {import("./mounts.js").Mounts} mounts */
  constructor(mounts) {
    super();
    mounts.addEventListener("detection", (event) => {
      const detection = /** @type {CustomEvent<Detection>} */ (event).detail;
      if (detection.name === this.#name) this.#set([detection, ...this.all]);
    });
  }

  /** @param {string | null} name The microphone. */
  async follow(name) {
    if (name === this.#name) return;
    this.#name = name;
    this.#set([]);
    if (!name) return;
    const response = await fetch(`api/v1/mounts/${address(name)}/detections`).catch(() => null);
    if (!response?.ok || name !== this.#name) return;
    const { detections } = await response.json();
    if (name === this.#name) this.#set([...this.all, ...detections]);
  }

  /** @param {Detection[]} detections */
  #set(detections) {
    // One that comes while the list is on its way is in both.
    const known = new Set();
    this.all = detections
      .filter((one) => {
        const key = keyOf(one);
        return !known.has(key) && known.add(key);
      })
      .slice(0, MOST);
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {Detection} detection */
export function nameOf({ common_name: common, scientific_name: scientific }) {
  return common ?? scientific ?? "";
}

/**
 * Identifies a detection by its beginning and its name.
 *
 * @param {Detection} detection
 */
export function keyOf(detection) {
  return `${detection.start} ${nameOf(detection)}`;
}
