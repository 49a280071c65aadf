// @ts-check
// Which microphones are on the air, according to the server's events.
//
// The first event of every connection lists all of them, so a new connection makes up for whatever was missed. `change`
// is dispatched whenever anything is different.

import { LiveClock, ServerTime } from "./clock.js";
import { follow } from "./events.js";

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
 * @property {Clock | null} [clock]
 * @property {string | null} [hls] Path of its playlist, without the path prefix.
 * @property {string | null} [webrtc] Path of its WHEP endpoint, without the path prefix.
 */

/**
 * A microphone that is known and not on the air. One that is idle is when somebody listens.
 *
 * @typedef {object} OffMount
 * @property {string} name
 * @property {"off" | "idle"} state
 * @property {string} state_since
 * @property {string | null} [station_name]
 */

/**
 * Some properties of a mount that have changed.
 *
 * @typedef {Pick<Mount, "name"> & Partial<Mount>} MountChange
 */

/**
 * Where live is on a mount: the server's newest granule, and the Unix time of that.
 *
 * @typedef {{ granule: number, unix_ms: number }} Clock
 */

// The server's time comes every two seconds. A connection without it is dead, although it was never closed.
const SILENCE = 8_000;
const FIRST_WAIT = 500;
const LATE = 1_500;
const LONGEST_WAIT = 5_000;

export class Mounts extends EventTarget {
  /**
   * Mounts by name, in the order in which they are shown.
   *
   * @type {Map<string, Mount>}
   */
  all = new Map();
  /**
   * Microphones that are not on the air, by name: the configuration names them, or they were on the air before.
   *
   * @type {Map<string, OffMount>}
   */
  off = new Map();
  /**
   * Whether the server responds; null before that is known.
   *
   * @type {boolean | null}
   */
  online = null;
  /** Whether the first answer takes so long that a person wants to know why. */
  isLate = false;

  #url;
  /**
   * The names of all mounts that have ever been listed.
   *
   * @type {Set<string>}
   */
  #seen = new Set();
  /** @type {Map<string, LiveClock>} */
  #clocks = new Map();
  #time = new ServerTime();
  /** @type {ReturnType<typeof follow> | null} */
  #source = null;
  #wait = FIRST_WAIT;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watch;

  /** @param {string} url */
  constructor(url) {
    super();
    this.#url = url;
    this.#connect();
    setTimeout(() => {
      this.isLate = this.online === null;
      if (this.isLate) this.#changed();
    }, LATE);
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
      clock = new LiveClock(this.#time);
      this.#clocks.set(name, clock);
    }
    return clock;
  }

  /**
   * Whether a mount is on the air; null if the events cannot say it: the server does not respond, or the mount is not
   * listed and never was, so it may be a hidden one.
   *
   * @param {string} name
   * @returns {boolean | null}
   */
  isOnAir(name) {
    if (!this.online) return null;
    if (this.all.has(name)) return true;
    return this.#seen.has(name) ? false : null;
  }

  /**
   * A microphone that a person can choose: on the air, or when somebody listens.
   *
   * @param {string} name
   * @returns {Mount | null}
   */
  choice(name) {
    const idle = this.off.get(name)?.state === "idle";
    return this.all.get(name) ?? (idle ? absent(name) : null);
  }

  #connect() {
    const source = follow(this.#url);
    this.#source = source;
    /**
     * @template T
     * @param {string} type
     * @param {(data: T) => void} work
     */
    const on = (type, work) =>
      source.addEventListener(type, (event) => {
        work(JSON.parse(/** @type {MessageEvent} */ (event).data));
        this.#watchFor(source);
      });
    on("mounts", (/** @type {{ mounts: Mount[], off: OffMount[] }} */ { mounts, off }) => {
      this.off = new Map(off.map((mount) => [mount.name, mount]));
      this.all = new Map(mounts.map((mount) => [mount.name, mount]));
      this.online = true;
      this.#wait = FIRST_WAIT;
      for (const mount of mounts) this.#setClock(mount.name, mount.clock);
      this.#changed();
    });
    on("up", (/** @type {Mount} */ mount) => {
      this.#setClock(mount.name, mount.clock);
      this.off.delete(mount.name);
      this.all.set(mount.name, mount);
      this.all = new Map([...this.all].sort(([a], [b]) => (a < b ? -1 : 1)));
      this.#changed();
    });
    on("down", (/** @type {OffMount} */ mount) => {
      this.all.delete(mount.name);
      this.off.set(mount.name, mount);
      this.off = new Map([...this.off].sort(([a], [b]) => (a < b ? -1 : 1)));
      this.#changed();
    });
    on("gone", (/** @type {{ name: string }} */ { name }) => {
      this.all.delete(name);
      this.off.delete(name);
      this.#changed();
    });
    for (const type of ["gap", "live", "listeners", "title"]) {
      on(type, (/** @type {MountChange} */ change) => this.#update(change));
    }
    on("detection", (/** @type {import("./detections.js").Detection} */ detail) => {
      this.dispatchEvent(new CustomEvent("detection", { detail }));
    });
    on("clock", (/** @type {Clock & { name: string }} */ clock) => this.#setClock(clock.name, clock));
    on("time", (/** @type {{ unix_ms: number }} */ { unix_ms }) => this.#time.heard(unix_ms, performance.now()));
    source.addEventListener("error", () => this.#lost(source));
    this.#watchFor(source);
  }

  /**
   * @param {string} name
   * @param {Clock | null} [clock]
   */
  #setClock(name, clock) {
    if (clock) this.clock(name).heard(clock.granule, clock.unix_ms);
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
   * @param {ReturnType<typeof follow>} source
   */
  #watchFor(source) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(source), SILENCE);
  }

  // After some responses, such as a proxy's 502, a browser does not reconnect by itself.
  /** @param {ReturnType<typeof follow>} source */
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
    for (const name of this.all.keys()) this.#seen.add(name);
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
 * @param {Pick<Mount, "name" | "station_name">} mount
 * @returns {string}
 */
export function title(mount) {
  return mount.station_name || mount.name.slice(1).replace(/\.(opus|ogg|oga|flac)$/, "");
}
