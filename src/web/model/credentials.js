// @ts-check
// What opens protected microphones, and requests that carry it: what a person has entered, or what the page's address
// has.
//
// It is kept while the page is open, and nowhere else.

import { readClip } from "../media/clip.js";
import { named } from "./choice.js";
import { address } from "./mounts.js";

/**
 * What opens a protected microphone: a password, or the parameters of an address, with a token or a signature.
 *
 * @typedef {{ user: string, password: string } | { query: string }} Secret
 */

// The parameters of an address that open a microphone.
const OPENING = ["token", "expires", "signature"];

/** @typedef {import("./mounts.js").Mount} Mount */

export class Credentials {
  /** @type {Map<string, Secret>} */
  #secrets = new Map();

  /** @param {string} search The parameters of the page's address. */
  constructor(search) {
    const [name, parameters] = [named(search), new URLSearchParams(search)];
    const given = OPENING.filter((one) => parameters.has(one)).map((one) => [one, parameters.get(one) ?? ""]);
    if (name && given.length > 0) this.#secrets.set(name, { query: new URLSearchParams(given).toString() });
  }

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
   * @returns {{
   *   url: string,
   *   options: { headers: Record<string, string>, credentials: RequestCredentials },
   *   login: { user: string, password: string } | null,
   * }} `login` is what `options` have, for requests that take none.
   */
  request(mount, path, query) {
    const secret = this.#secrets.get(mount.name);
    const parameters = query ? [query] : [];
    /** @type {Record<string, string>} */
    let headers = {};
    const login = secret && "user" in secret ? secret : null;
    if (secret && "query" in secret) {
      parameters.push(secret.query);
    } else if (login) {
      const bytes = new TextEncoder().encode(`${login.user}:${login.password}`);
      headers = { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
    }
    const suffix = parameters.length > 0 ? `?${parameters.join("&")}` : "";
    return {
      url: address(mount.name) + path + suffix,
      // With credentials of its own, the browser would open its own login dialog before the page's.
      options: { headers, credentials: mount.access === "public" ? "same-origin" : "omit" },
      login,
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
