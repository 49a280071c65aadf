// @ts-check
// Which microphones are on the air, according to the server's events.
//
// The first event of every connection lists all of them, so a new connection makes up for whatever was missed. `change`
// is dispatched whenever anything is different.

import { LiveClock } from "./clock.js";

/**
 * A microphone, as `/api/v1/mounts` describes it. One that is not on the air has only the required properties.
 *
 * @typedef {object} Mount
 * @property {string} name
 * @property {"live" | "gap" | "absent"} state
 * @property {string} codec
 * @property {"public" | "password" | "token" | "closed"} access
 * @property {string} [state_since]
 * @property {string | null} [station_name]
 * @property {string | null} [title]
 * @property {string | null} [description]
 * @property {number | null} [sample_rate]
 * @property {number | null} [bitrate]
 * @property {number} [channels]
 * @property {number} [listeners]
 */

/**
 * Some properties of a mount that have changed.
 *
 * @typedef {Pick<Mount, "name"> & Partial<Mount>} MountChange
 */

/**
 * Where live is on a mount: the server's newest granule, and the Unix time of that.
 *
 * @typedef {{ name: string, granule: number, unix_ms: number }} ClockEvent
 */

// Clock events come about once a second. A connection without any is dead, although it was never closed.
const SILENCE = 8_000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 5_000;

export class Mounts extends EventTarget {
  /**
   * Mounts by name, in the order in which they are shown.
   *
   * @type {Map<string, Mount>}
   */
  all = new Map();
  /**
   * Whether the server responds; null before that is known.
   *
   * @type {boolean | null}
   */
  online = null;

  #url;
  /** @type {Map<string, LiveClock>} */
  #clocks = new Map();
  /** @type {EventSource | null} */
  #source = null;
  #wait = FIRST_WAIT;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watch;

  /** @param {string} url */
  constructor(url) {
    super();
    this.#url = url;
    this.#connect();
  }

  /**
   * Where live is on a mount.
   *
   * @param {string} name
   * @returns {LiveClock}
   */
  clock(name) {
    let clock = this.#clocks.get(name);
    if (!clock) {
      clock = new LiveClock();
      this.#clocks.set(name, clock);
    }
    return clock;
  }

  #connect() {
    const source = new EventSource(this.#url);
    this.#source = source;
    /**
     * @template T
     * @param {string} type
     * @param {(data: T) => void} work
     */
    const on = (type, work) =>
      source.addEventListener(type, (event) => {
        work(JSON.parse(event.data));
        // Without any mount there are no clock events either.
        this.#watchFor(source, this.all.size > 0);
      });
    on("mounts", (/** @type {{ mounts: Mount[] }} */ { mounts }) => {
      this.all = new Map(mounts.map((mount) => [mount.name, mount]));
      this.online = true;
      this.#wait = FIRST_WAIT;
      this.#changed();
    });
    on("up", (/** @type {Mount} */ mount) => {
      this.all.set(mount.name, mount);
      this.all = new Map([...this.all].sort(([a], [b]) => (a < b ? -1 : 1)));
      this.#changed();
    });
    on("down", (/** @type {{ name: string }} */ { name }) => {
      this.all.delete(name);
      this.#clocks.delete(name);
      this.#changed();
    });
    for (const type of ["gap", "live", "listeners", "title"]) {
      on(type, (/** @type {MountChange} */ change) => this.#update(change));
    }
    on("clock", (/** @type {ClockEvent} */ { name, granule, unix_ms }) =>
      this.clock(name).heard(granule, unix_ms, performance.now()),
    );
    source.addEventListener("error", () => this.#lost(source));
    // The list comes at once, also when it is empty.
    this.#watchFor(source, true);
  }

  /** @param {MountChange} change */
  #update(change) {
    const mount = this.all.get(change.name);
    if (!mount) return;
    Object.assign(mount, change);
    this.#changed();
  }

  /**
   * Gives the connection up unless something comes in time.
   *
   * @param {EventSource} source
   * @param {boolean} expected Whether anything has to come.
   */
  #watchFor(source, expected) {
    clearTimeout(this.#watch);
    if (expected) this.#watch = setTimeout(() => this.#lost(source), SILENCE);
  }

  // After some responses, such as a proxy's 502, a browser does not reconnect by itself.
  /** @param {EventSource} source */
  #lost(source) {
    source.close();
    if (source !== this.#source) return;
    clearTimeout(this.#watch);
    this.#source = null;
    this.online = false;
    this.#changed();
    setTimeout(() => this.#connect(), this.#wait);
    this.#wait = Math.min(LONGEST_WAIT, this.#wait * 2);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * Stands for a mount that is not on the air.
 *
 * @param {string} name
 * @returns {Mount}
 */
export function absent(name) {
  return { name, state: "absent", codec: "Opus", access: "public" };
}

/**
 * The URL of a mount's stream, relative to this page.
 *
 * @param {string} name
 * @param {string} query What follows the path.
 * @returns {string}
 */
export function address(name, query = "") {
  return name.slice(1).split("/").map(encodeURIComponent).join("/") + query;
}

/**
 * A mount's name for people: the one that the configuration or its source gives, or its path without the usual extensions.
 *
 * @param {Mount} mount
 * @returns {string}
 */
export function title(mount) {
  return mount.station_name || mount.name.slice(1).replace(/\.(opus|ogg|oga|flac)$/, "");
}
