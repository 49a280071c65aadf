// @ts-check
// Listening to one microphone at a time: a state machine from the click that starts it to the one that stops it.
//
// `state` is one of those in states.js; `change` is dispatched when it changes. Whatever happens, this tries again
// until it is stopped, or until the server refuses for good. A microphone that is not on the air is not asked for again:
// the server's events say when it is back.

import { canPlay, Player } from "../media/player.js";
import { Sound } from "../media/sound.js";
import { NoSound, receive } from "../media/stream.js";
import { address } from "./mounts.js";
import { STATES } from "./states.js";

/**
 * @typedef {import("./mounts.js").Mount} Mount
 * @typedef {import("./mounts.js").Mounts} Mounts
 * @typedef {import("./states.js").State} State
 */

/**
 * What a person has entered for a protected microphone.
 *
 * @typedef {{ user: string, password: string } | { token: string }} Secret
 */

const OPUS_RATE = 48_000;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 5_000;
// Between requests for a microphone whose return no event would announce.
const RARELY = 15_000;

export class Listening extends EventTarget {
  /** @type {Mount | null} */
  mount = null;
  /** @type {State} */
  state = "idle";
  /** Whether the browser's built-in player is used, which is seconds behind. */
  plain = false;
  /** @type {Sound | null} */
  sound = null;
  /** Whether what was entered last was wrong. */
  refused = false;

  #mounts;
  #volume = 1;
  /** @type {Player | null} */
  #player = null;
  /** @type {Session | null} */
  #session = null;
  /** @type {Map<string, Secret>} */
  #secrets = new Map();
  #answered = () => {};

  /** @param {Mounts} mounts */
  constructor(mounts) {
    super();
    this.#mounts = mounts;
    // A microphone that is back is connected to at once.
    mounts.addEventListener("change", () => {
      if (this.state === "absent" && this.mount && mounts.isOnAir(this.mount.name)) this.#session?.hurry();
    });
  }

  /**
   * Plays this microphone and no other. Must be called from a click.
   *
   * @param {Mount} mount
   */
  listen(mount) {
    this.stop();
    this.mount = mount;
    const session = new Session(mount, this.#prepare(mount));
    this.#session = session;
    this.refused = false;
    this.plain = mount.codec !== "Opus" || !canPlay;
    this.#enter("connecting");
    this.#run(session).catch((error) => {
      if (session.over) return;
      console.error(error);
      this.#end("broken");
    });
  }

  stop() {
    this.#end("idle");
  }

  /**
   * Continues with what the person entered in the state `password` or `token`.
   *
   * @param {Secret} secret
   */
  answer(secret) {
    if (this.mount) this.#secrets.set(this.mount.name, secret);
    this.#answered();
  }

  /** Whether nothing is played, and nothing will be without a click. */
  get silent() {
    return STATES[this.state].action === "listen";
  }

  /** @param {number} volume From 0 to 1. */
  set volume(volume) {
    this.#volume = volume;
    if (this.sound) this.sound.volume = volume;
  }

  toLive() {
    this.#player?.toLive();
  }

  /** Seconds from the microphone's newest sample to the one that is heard, or null if that is not known. */
  behind() {
    const position = this.#player?.position ?? null;
    const live = this.mount && this.#mounts.clock(this.mount.name).live(performance.now());
    if (!this.sound || position === null || live === null || this.state === "idle") return null;
    return Math.max(0, (live - position) / OPUS_RATE + this.sound.delay);
  }

  /** The microphone's wall clock at the sample that is heard, as Unix time in milliseconds. */
  wall() {
    const position = this.#player?.position ?? null;
    const clock = this.mount && this.#mounts.clock(this.mount.name);
    const wall = position === null ? null : clock?.wall(position);
    return wall ?? Date.now();
  }

  /** @param {State} state */
  #end(state) {
    this.#session?.end();
    this.#session = null;
    this.#release();
    this.sound?.stop();
    this.#enter(state);
  }

  /**
   * @param {Mount} mount
   * @returns {Sound}
   */
  #prepare(mount) {
    const rate = mount.codec === "Opus" ? OPUS_RATE : mount.sample_rate || OPUS_RATE;
    if (this.sound?.rate === rate) return this.sound;
    this.sound?.close();
    const sound = new Sound(rate, this.#volume);
    this.sound = sound;
    const { element } = sound;
    /**
     * @param {string} type
     * @param {(session: Session) => void} work
     */
    const on = (type, work) =>
      element.addEventListener(type, () => {
        if (this.#session) work(this.#session);
      });
    on("playing", (session) => {
      session.heard = true;
      this.#enter("playing");
    });
    on("waiting", () => {
      if (this.state === "playing") this.#enter("waiting");
    });
    // By headphones or the system. An event that is late, from the session before, does not count: the element plays.
    on("pause", () => {
      if (element.paused && !element.ended) this.stop();
    });
    on("ended", (session) => session.fail(new NoSound("lost")));
    on("error", (session) => session.fail(new NoSound("lost")));
    on("unplayable", (session) => session.fail(new NoSound("lost")));
    return sound;
  }

  /** @param {Session} session */
  async #run(session) {
    const { name } = session.mount;
    let wait = FIRST_WAIT;
    while (!session.over) {
      const begun = performance.now();
      const end = await this.#attempt(session);
      if (session.over) return;
      if (performance.now() - begun > LONGEST_WAIT) wait = FIRST_WAIT;
      switch (end.reason) {
        case "closed":
        case "removed":
          this.#end(end.reason);
          return;
        case "foreign":
          this.plain = true;
          break;
        case "password":
        case "token":
          await this.#ask(end.reason, session);
          break;
        default:
          // The list may be a moment older than the answer.
          if (end.reason === "absent" && !this.#mounts.isOnAir(name)) break;
          this.#enter(end.reason);
          await session.pause(end.wait * 1000 || wait);
          wait = Math.min(LONGEST_WAIT, wait * 2);
      }
      const listed = this.#mounts.isOnAir(name);
      if (!session.over && (listed === false || (end.reason === "absent" && !listed))) {
        await this.#return(session);
        wait = FIRST_WAIT;
      }
    }
  }

  /**
   * Waits until the microphone is on the air again.
   *
   * @param {Session} session
   */
  async #return(session) {
    const { name } = session.mount;
    this.#enter("absent");
    // Without events, or where they leave this microphone out although it was heard, only a request can tell.
    const isUnannounced = () => !this.#mounts.online || (session.heard && this.#mounts.isOnAir(name) === null);
    do await session.pause(RARELY);
    while (!session.over && !this.#mounts.isOnAir(name) && !isUnannounced());
  }

  /**
   * Plays until that ends, and returns why it did.
   *
   * @param {Session} session
   * @returns {Promise<NoSound>}
   */
  async #attempt(session) {
    try {
      if (this.plain) await this.#playPlainly(session);
      else await this.#playLive(session);
    } catch (error) {
      if (error instanceof NoSound) return error;
      throw error;
    }
    return new NoSound("lost");
  }

  /** @param {Session} session */
  async #playLive(session) {
    const { mount, sound } = session;
    // The element goes on where it was when a connection breaks.
    if (!this.#player || sound.element.error) {
      this.#release();
      this.#player = new Player(sound.element);
      this.#start(session);
    }
    const player = this.#player;
    const { headers, query } = this.#credentials(mount);
    // With credentials of its own, the browser would open its own login dialog before the page's.
    const credentials = mount.access === "public" ? "same-origin" : "omit";
    const url = address(mount.name, `?burst=0ms${query}`);
    const attempt = new AbortController();
    session.signal.addEventListener("abort", () => attempt.abort(), { signal: attempt.signal });
    const received = receive(url, { headers, credentials }, attempt.signal, {
      head: (head) => player.head(head),
      packets: (packets, granule) => {
        player.packets(packets, granule);
        this.#resumed(session);
      },
    });
    try {
      await Promise.race([session.failed(), received]);
    } finally {
      attempt.abort();
    }
  }

  // When a connection is back, the element may never have stopped, and then it dispatches nothing.
  /** @param {Session} session */
  #resumed({ sound }) {
    if (!STATES[this.state].retries) return;
    this.#enter(sound.element.readyState > 2 ? "playing" : "waiting");
  }

  /** @param {Session} session */
  async #playPlainly(session) {
    this.#release();
    const { mount, sound } = session;
    const { query } = this.#credentials(mount);
    sound.element.src = address(mount.name, query && `?${query.slice(1)}`);
    this.#start(session);
    await session.failed();
  }

  /** @param {Session} session */
  #start(session) {
    session.sound.play().catch((error) => {
      if (!session.over && error.name === "NotAllowedError") this.#end("blocked");
    });
  }

  /**
   * @param {Mount} mount
   * @returns {{ headers: Record<string, string>, query: string }}
   */
  #credentials(mount) {
    const secret = this.#secrets.get(mount.name);
    if (!secret) return { headers: {}, query: "" };
    if ("token" in secret) return { headers: {}, query: `&token=${encodeURIComponent(secret.token)}` };
    const bytes = new TextEncoder().encode(`${secret.user}:${secret.password}`);
    return { headers: { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` }, query: "" };
  }

  /**
   * @param {"password" | "token"} kind
   * @param {Session} session
   */
  async #ask(kind, session) {
    this.refused = this.#secrets.delete(session.mount.name);
    /** @type {Promise<void>} */
    const answered = new Promise((resolve) => {
      this.#answered = resolve;
    });
    this.#enter(kind);
    await Promise.race([answered, session.ended()]);
    if (!session.over) this.#enter("connecting");
  }

  #release() {
    this.#player?.close();
    this.#player = null;
  }

  /** @param {State} state */
  #enter(state) {
    if (this.state === state && state !== "connecting" && state !== "idle") return;
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}

/** From one click to the next. */
class Session {
  #abort = new AbortController();
  /** @type {(error: NoSound) => void} */
  #fail = () => {};
  hurry = () => {};
  /** Whether the microphone has been heard. */
  heard = false;

  /**
   * @param {Mount} mount
   * @param {Sound} sound
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
