// @ts-check
// The server as its administrator sees it: what it tells, and the commands that it takes.
//
// The password is sent with each request and kept nowhere else. Pages of other sites do not have it, so they cannot
// send commands through this browser.

/** @typedef {import("./state.js").StationState} StationState */

/** The server did not take a command, or the login. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const BASE = new URL("../", location.href);

export class Server {
  #authorization;

  /**
   * @param {string} user
   * @param {string} password
   */
  constructor(user, password) {
    const bytes = new TextEncoder().encode(`${user}:${password}`);
    this.#authorization = `Basic ${btoa(String.fromCharCode(...bytes))}`;
  }

  /**
   * Everything but the configuration.
   *
   * @returns {Promise<StationState>}
   */
  async state() {
    // One after the other: a browser has six connections to a server, and listening needs some of them.
    const { mounts, off } = await this.#get("mounts?hidden=true");
    const { listeners } = await this.#get("listeners");
    const { lines } = await this.#get("journal");
    const { links } = await this.#get("links");
    return { mounts, off, listeners, lines, links, blocks: await this.#get("blocks"), server: await this.#get("server") };
  }

  /** @returns {Promise<import("./state.js").Configuration>} */
  configuration() {
    return this.#get("configuration");
  }

  /**
   * Gives a command. Returns what the server says about it.
   *
   * @param {string} name
   * @param {Record<string, string>} parameters
   */
  async command(name, parameters = {}) {
    const query = new URLSearchParams(parameters).toString();
    const response = await this.#request(`admin/${name}?${query}`, "POST");
    const answer = new DOMParser().parseFromString(await response.text(), "text/xml");
    return answer.querySelector("message")?.textContent ?? "";
  }

  /** @param {string} path */
  async #get(path) {
    return (await this.#request(`api/v1/${path}`, "GET")).json();
  }

  /**
   * @param {string} path
   * @param {string} method
   */
  async #request(path, method) {
    const response = await fetch(new URL(path, BASE), {
      method,
      headers: { Authorization: this.#authorization },
      // Otherwise the browser would ask for the password itself, and keep it.
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(10_000),
    });
    if (response.ok) return response;
    const text = await response.text();
    throw new Refused(response.status, response.headers.get("content-type")?.includes("json") ? JSON.parse(text).error : text);
  }
}
