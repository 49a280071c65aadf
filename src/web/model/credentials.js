// @ts-check
// What a person has entered for protected microphones, and requests that carry it.
//
// It is kept while the page is open, and nowhere else.

import { readClip } from "../media/clip.js";
import { address } from "./mounts.js";

/**
 * What a person has entered for a protected microphone.
 *
 * @typedef {{ user: string, password: string } | { token: string }} Secret
 */

/** @typedef {import("./mounts.js").Mount} Mount */

export class Credentials {
  /** @type {Map<string, Secret>} */
  #secrets = new Map();

  /**
   * @param {Mount} mount
   * @param {Secret} secret
   */
  enter({ name }, secret) {
    this.#secrets.set(name, secret);
  }

  /** @param {Mount} mount */
  has({ name }) {
    return this.#secrets.has(name);
  }

  /**
   * Forgets what was wrong. Returns whether there was something.
   *
   * @param {Mount} mount
   */
  forget({ name }) {
    return this.#secrets.delete(name);
  }

  /**
   * A request for something of a microphone: its URL, and its options.
   *
   * @param {Mount} mount
   * @param {string} path What follows the microphone's.
   * @param {string} query Parameters.
   * @returns {{ url: string, options: { headers: Record<string, string>, credentials: RequestCredentials } }}
   */
  request(mount, path, query) {
    const secret = this.#secrets.get(mount.name);
    const parameters = query ? [query] : [];
    /** @type {Record<string, string>} */
    let headers = {};
    if (secret && "token" in secret) {
      parameters.push(`token=${encodeURIComponent(secret.token)}`);
    } else if (secret) {
      const bytes = new TextEncoder().encode(`${secret.user}:${secret.password}`);
      headers = { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
    }
    const suffix = parameters.length > 0 ? `?${parameters.join("&")}` : "";
    return {
      url: address(mount.name) + path + suffix,
      // With credentials of its own, the browser would open its own login dialog before the page's.
      options: { headers, credentials: mount.access === "public" ? "same-origin" : "omit" },
    };
  }

  /**
   * The server's memory of a microphone.
   *
   * @param {Mount} mount
   * @returns {import("./past.js").Memory}
   */
  memory(mount) {
    const fetchFile = (/** @type {string} */ query) => {
      const { url, options } = this.request(mount, "", query);
      return fetch(url, options);
    };
    return {
      file: async (query) => {
        const response = await fetchFile(query);
        return response.ok ? response.blob() : null;
      },
      clip: async (query) => {
        const response = await fetchFile(query);
        return response.ok ? readClip(new Uint8Array(await response.arrayBuffer())) : null;
      },
      begin: async () => {
        const response = await fetch(`api/v1/mounts/${address(mount.name)}/clock`);
        return Date.parse((await response.json()).held.from) || null;
      },
    };
  }
}
