// @ts-check
// Listening to one microphone at a time: a state machine from the click that starts it to the one that stops it.
//
// `state` is one of those in states.js; `change` is dispatched when it changes. Whatever happens, this tries again
// until it is stopped, or until the server refuses for good. A microphone that is not on the air is not asked for again:
// the server's events say when it is back.

import { NoSound } from "../media/no-sound.js";
import { prepare } from "../media/received-packets.js";
import { canPlay } from "../media/player.js";
import { Sound } from "../media/sound.js";
import { hasWebRtc, NoWebRtc } from "../media/whep.js";
import { ByWebRtc } from "./by-webrtc.js";
import { deliver } from "./delivery.js";
import { address } from "./mounts.js";
import { Session } from "./session.js";
import { STATES } from "./states.js";

/**
 * @typedef {import("./delivery.js").Delivery} Delivery
 * @typedef {import("./delivery.js").How} How
 * @typedef {import("./delivery.js").Preference} Preference
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
// How many seconds are shown that were before the first click.
const PAST = 40;
// Between requests for a microphone whose return no event would announce.
const RARELY = 15_000;

export class Listening extends EventTarget {
  /** @type {Mount | null} */
  mount = null;
  /** @type {State} */
  state = "idle";
  /** @type {Sound | null} */
  sound = null;
  /** Whether what was entered last was wrong. */
  refused = false;

  #mounts;
  #volume = 1;
  /** @type {Preference} */
  #preference = "sound";
  /** @type {Delivery | null} */
  #delivery = null;
  /** What was last told of how it is heard. */
  #told = "";
  /** @type {Session | null} */
  #session = null;
  /** @type {Map<string, Secret>} */
  #secrets = new Map();
  #answered = () => {};

  /** @param {Mounts} mounts */
  constructor(mounts) {
    super();
    this.#mounts = mounts;
    mounts.addEventListener("change", () => {
      if ([...mounts.all.values()].some(({ webrtc }) => webrtc)) prepare();
      // A microphone that is back is connected to at once.
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
    session.isForeign = mount.codec !== "Opus" || !canPlay;
    this.#session = session;
    this.refused = false;
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

  /** @param {Preference} preference A change restarts playback. */
  set preference(preference) {
    if (this.#preference === preference) return;
    this.#preference = preference;
    if (this.mount && !this.silent) this.listen(this.mount);
  }

  /** @returns {How} */
  get how() {
    const delivery = this.#delivery;
    return {
      kind: delivery?.kind ?? "stream",
      showsPackets: delivery instanceof ByWebRtc && delivery.showsPackets,
      obstacle: this.#session?.obstacle ?? null,
    };
  }

  toLive() {
    this.#delivery?.toLive();
  }

  /** Seconds from the microphone's newest sample to the one that is heard, or null if that is not known. */
  behind() {
    if (!this.sound || !this.mount || this.state === "idle") return null;
    const seconds = this.#delivery?.behind(this.#mounts.clock(this.mount.name), performance.now()) ?? null;
    return seconds === null ? null : Math.max(0, seconds + this.sound.delay);
  }

  /** The microphone's wall clock at what is shown, as Unix time in milliseconds. */
  wall() {
    const clock = this.mount && this.#mounts.clock(this.mount.name);
    return (clock && this.#delivery?.wall(clock, performance.now())) ?? Date.now();
  }

  /**
   * What there is to be seen at `now`; null before anything was heard.
   *
   * @param {number} now
   */
  see(now) {
    return this.#delivery?.see(now) ?? null;
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
        // What WebRTC receives is not played by this element.
        if (this.#session && this.#delivery?.kind !== "webrtc") work(this.#session);
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
    // The system has paused what WebRTC receives.
    const stopWebRtc = () => {
      if (this.#session && this.#delivery?.kind === "webrtc") this.stop();
    };
    sound.context.addEventListener("statechange", () => {
      if (this.sound === sound && sound.context.state !== "running") stopWebRtc();
    });
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
          session.isForeign = true;
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
      const delivery = this.#choose(session);
      const played = delivery.play(session, this.#request(session.mount), (isHeard) => this.#heard(isHeard, session, delivery));
      this.#start(session);
      return await played;
    } catch (error) {
      if (error instanceof NoWebRtc) return this.#doWithout(error.obstacle, session);
      if (!(error instanceof NoSound)) throw error;
      // WebRTC may be possible again, and the next attempt finds out.
      if (session.obstacle !== "unsupported" && session.obstacle !== "unconnected") session.obstacle = null;
      return error;
    }
  }

  /**
   * Plays by another way than WebRTC.
   *
   * @param {import("../media/whep.js").Obstacle} obstacle
   * @param {Session} session
   * @returns {Promise<NoSound>}
   */
  async #doWithout(obstacle, session) {
    session.obstacle = obstacle;
    if (this.state === "playing") this.#enter("waiting");
    return session.over ? new NoSound("lost") : this.#attempt(session);
  }

  /**
   * What this session is played by.
   *
   * @param {Session} session
   * @returns {Delivery}
   */
  #choose(session) {
    const { mount, sound, obstacle, isForeign } = session;
    const { webrtc } = this.#mounts.all.get(mount.name) ?? mount;
    const prefersWebRtc = webrtc && hasWebRtc && this.#preference === "sound" && !obstacle;
    const kind = prefersWebRtc ? "webrtc" : isForeign ? "element" : "stream";
    const present = this.#delivery;
    // The element goes on where it was when a connection breaks.
    if (kind === "stream" && present?.kind === "stream" && !sound.element.error) return present;
    this.#release();
    this.#delivery = deliver(kind, sound, this.#mounts.clock(mount.name));
    return this.#delivery;
  }

  /**
   * Audio has arrived, or is missing.
   *
   * @param {boolean} isHeard
   * @param {Session} session
   * @param {Delivery} delivery
   */
  #heard(isHeard, session, delivery) {
    const { element } = session.sound;
    if (!isHeard) {
      if (this.state === "playing") this.#enter("waiting");
    } else if (delivery.kind === "webrtc") {
      session.heard = true;
      this.#enter("playing");
    } else if (STATES[this.state].retries) {
      // When a connection is back, the element may never have stopped, and then it dispatches nothing.
      this.#enter(element.readyState > 2 ? "playing" : "waiting");
    }
  }

  /** @param {Session} session */
  #start(session) {
    session.sound.play().catch((error) => {
      if (!session.over && error.name === "NotAllowedError") this.#end("blocked");
    });
  }

  /**
   * @param {Mount} mount
   * @returns {import("./delivery.js").MountRequest}
   */
  #request(mount) {
    const { headers, query } = this.#credentials(mount);
    const isPlain = this.#delivery?.kind === "element";
    return {
      stream: address(mount.name, isPlain ? query.replace("&", "?") : `?burst=0ms${query}`),
      clip: address(mount.name, `?clip=${PAST}s${query}`),
      whep: address(`${mount.name}/whep`, query.replace("&", "?")),
      // With credentials of its own, the browser would open its own login dialog before the page's.
      options: { headers, credentials: mount.access === "public" ? "same-origin" : "omit" },
    };
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
    this.#delivery?.close();
    this.#delivery = null;
  }

  /** @param {State} state */
  #enter(state) {
    const told = JSON.stringify(this.how);
    const isNew = this.state !== state || this.#told !== told || state === "connecting" || state === "idle";
    this.state = state;
    this.#told = told;
    if (isNew) this.dispatchEvent(new Event("change"));
  }
}
