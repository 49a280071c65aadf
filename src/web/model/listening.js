// @ts-check
// Listening to one microphone at a time: a state machine from the click that starts it to the one that stops it.
//
// `state` is one of those in states.js; `change` is dispatched when it changes. Whatever happens, this tries again
// until it is stopped, or until the server refuses for good. A microphone that is not on the air is not asked for again:
// the server's events say when it is back.

import { canPlay } from "../media/container.js";
import { isNeutral, NEUTRAL } from "../media/hearing.js";
import { NoSound } from "../media/no-sound.js";
import { prepare } from "../media/received-packets.js";
import { Sound } from "../media/sound.js";
import { hasWebRtc, NoWebRtc } from "../media/whep.js";
import { ByWebRtc } from "./by-webrtc.js";
import { Credentials } from "./credentials.js";
import { deliver } from "./delivery.js";
import { takePlace } from "./events.js";
import { GraphCheck } from "./graph-check.js";
import { recall, remember } from "./preferences.js";
import { Replay } from "./replay.js";
import { Session } from "./session.js";
import { STATES } from "./states.js";
import { STEP } from "./steps.js";
import { StreamPicture } from "./stream-picture.js";

/**
 * @typedef {import("./delivery.js").Delivery} Delivery
 * @typedef {import("./delivery.js").How} How
 * @typedef {import("./delivery.js").Preference} Preference
 * @typedef {import("../media/hearing.js").Settings} Settings
 * @typedef {import("./mounts.js").Mount} Mount
 * @typedef {import("./mounts.js").Mounts} Mounts
 * @typedef {import("./states.js").State} State
 */

const OPUS_RATE = 48_000;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 5_000;
// How long an answer may take until the page says something, in milliseconds.
const LATE = 1_500;
// Seconds until a place among the browser's connections is asked for again.
const CROWDED = 1;
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
  #credentials;
  #volume = 1;
  /** @type {Settings} */
  #hearing = NEUTRAL;
  /** @type {Preference} */
  #preference = "sound";
  /**
   * The picture of the packets of a mount.
   *
   * @type {{ name: string, picture: StreamPicture } | null}
   */
  #packets = null;
  /** @type {Delivery | null} */
  #delivery = null;
  /** What was last told of how it is heard. */
  #told = "";
  /** @type {Session | null} */
  #session = null;
  /** @type {GraphCheck | null} */
  #check = null;
  /**
   * What is heard again in place of what is live.
   *
   * @type {Replay | null}
   */
  #replay = null;
  #answered = () => {};

  /**
   * @param {Mounts} mounts
   * @param {string} search The parameters of the page's address, which may open a protected microphone.
   */
  constructor(mounts, search = "") {
    super();
    this.#mounts = mounts;
    this.#credentials = new Credentials(search);
    mounts.addEventListener("change", () => {
      if ([...mounts.all.values()].some(({ webrtc }) => webrtc)) prepare();
      const known = this.mount && mounts.all.get(this.mount.name);
      if (known?.state_since && this.#packets?.name === known.name) this.#packets.picture.source(known.state === "gap", Date.parse(known.state_since));
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
    session.start = () => {
      session.sound.play().catch((error) => {
        if (!session.over && error.name === "NotAllowedError") this.#end("blocked");
      });
    };
    this.#session = session;
    this.#follow(session);
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
   * @param {import("./credentials.js").Secret} secret
   */
  answer(secret) {
    if (this.mount) this.#credentials.enter(this.mount, secret);
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

  /** @param {Settings} settings What is done to the sound. */
  set hearing(settings) {
    this.#hearing = settings;
    if (!this.sound) return;
    this.sound.hearing = settings;
    // Only the graph can do it.
    if (!this.#isDirect && this.sound.isDirect && this.mount && !this.silent) this.listen(this.mount);
  }

  /** Whether gain and filters are possible in this browser. */
  get canChangeSound() {
    return !hasDeafGraph();
  }

  /** Whether elements are to sound by themselves. */
  get #isDirect() {
    return hasDeafGraph() || this.#preference === "screen-off" || ("audioSession" in navigator && isNeutral(this.#hearing));
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
      isChosen: delivery?.kind === "element" && this.#preference === "screen-off",
      obstacle: this.#session?.obstacle ?? null,
    };
  }

  toLive() {
    if (this.#replay) this.sound?.endPast();
    else this.#delivery?.toLive();
  }

  /** What is heard again in place of what is live; null if nothing is. */
  get replay() {
    return this.#replay;
  }

  /**
   * Plays a part of the past, and then what is live again. Returns whether there was that part.
   *
   * @param {number} from In steps of the picture.
   * @param {number} to
   * @param {{ low: number, high: number }} band The frequencies that are heard, in Hz.
   * @returns {Promise<boolean>}
   */
  async playAgain(from, to, band) {
    const { picture, sound } = this;
    const clip = (await picture?.past?.cut(from, to)) ?? null;
    const granule = clip ? (picture?.past?.place(clip) ?? null) : null;
    if (!clip || granule === null || !sound || sound !== this.sound || picture !== this.picture) return false;
    const replay = new Replay(sound, clip, granule);
    this.#replay = replay;
    const played = replay.play(band);
    this.dispatchEvent(new Event("change"));
    await played.catch(() => {});
    // Another one may have taken its place.
    if (this.#replay === replay) this.#replay = null;
    this.dispatchEvent(new Event("change"));
    return true;
  }

  /**
   * Whether a microphone can be heard without asking for anything.
   *
   * @param {Mount} mount
   */
  mayHear(mount) {
    return mount.access === "public" || this.#credentials.has(mount);
  }

  /**
   * The server's memory of a microphone.
   *
   * @param {Mount} mount
   */
  memory(mount) {
    return this.#credentials.memory(mount);
  }

  /** Seconds from the microphone's newest sample to the one that is heard, or null if that is not known. */
  behind() {
    if (!this.sound || !this.mount || this.state === "idle") return null;
    // What the server does not have is not behind it.
    if (!this.#mounts.online || this.#mounts.isOnAir(this.mount.name) === false) return null;
    const [clock, now] = [this.#mounts.clock(this.mount.name), performance.now()];
    const live = clock.live(now);
    if (this.#replay) return live === null ? null : (live - this.#replay.step * STEP) / OPUS_RATE;
    const seconds = this.#delivery?.behind(clock, now) ?? null;
    return seconds === null ? null : Math.max(0, seconds + this.sound.delay);
  }

  /** The picture of what is or was heard; null if there is none. */
  get picture() {
    return this.#delivery?.picture ?? (this.#packets?.name === this.mount?.name ? this.#packets?.picture : null) ?? null;
  }

  /**
   * The step of the picture that is live at `now`, with its fraction; null if that is not known. Another one is heard
   * while there is a `replay`.
   *
   * @param {number} now
   */
  edge(now) {
    if (!this.mount || !STATES[this.state].sounds) return null;
    return this.#delivery?.edge(this.#mounts.clock(this.mount.name), now) ?? null;
  }

  /** @param {State} state */
  #end(state) {
    this.#session?.end();
    this.#session = null;
    this.#release();
    this.sound?.endPast();
    this.sound?.stop();
    this.#enter(state);
  }

  /**
   * @param {Mount} mount
   * @returns {Sound}
   */
  #prepare(mount) {
    const rate = mount.codec === "Opus" ? OPUS_RATE : mount.sample_rate || OPUS_RATE;
    const present = this.sound;
    if (present?.rate === rate && present.isDirect === this.#isDirect) {
      present.renew();
      return present;
    }
    present?.close();
    const sound = new Sound(rate, this.#isDirect);
    sound.volume = this.#volume;
    sound.hearing = this.#hearing;
    this.sound = sound;
    // The system has paused what WebRTC receives.
    sound.onSuspended(() => {
      if (this.sound === sound && this.#delivery?.kind === "webrtc") this.stop();
    });
    return sound;
  }

  /**
   * Follows what the session's element does.
   *
   * @param {Session} session
   */
  #follow(session) {
    const { element } = session.sound;
    const on = (/** @type {string} */ type, /** @type {() => void} */ work) =>
      element.addEventListener(type, () => {
        // What WebRTC receives is not played by this element.
        if (!session.over && this.#delivery?.kind !== "webrtc") work();
      });
    on("playing", () => {
      session.heard = true;
      this.#enter("playing");
    });
    on("waiting", () => {
      if (this.state === "playing") this.#enter("waiting");
    });
    // By headphones or the system.
    on("pause", () => {
      if (element.paused && !element.ended) this.stop();
    });
    on("ended", () => session.fail(new NoSound("lost")));
    on("error", () => session.fail(new NoSound("lost")));
    on("unplayable", () => session.fail(new NoSound("lost")));
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
      return await this.#play(session, delivery);
    } catch (error) {
      if (error instanceof NoWebRtc) return this.#doWithout(error.obstacle, session);
      if (!(error instanceof NoSound)) throw error;
      // WebRTC may be possible again, and the next attempt finds out.
      if (session.obstacle !== "unsupported" && session.obstacle !== "unconnected") session.obstacle = null;
      return error;
    }
  }

  /**
   * @param {Session} session
   * @param {Delivery} delivery
   * @returns {Promise<never>}
   */
  async #play(session, delivery) {
    const heard = (/** @type {boolean} */ isHeard) => this.#heard(isHeard, session, delivery);
    const late = setTimeout(() => {
      if (!session.over && this.state === "connecting") this.#enter("unanswered");
    }, LATE);
    // WebRTC keeps no connection of the browser's.
    const release = delivery.kind === "webrtc" ? () => {} : await takePlace();
    try {
      if (!release) throw new NoSound("crowded", CROWDED);
      if (session.over) throw new NoSound("lost");
      const played = delivery.play(session, this.#request(session.mount), heard);
      session.start();
      return await played;
    } finally {
      clearTimeout(late);
      release?.();
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
    const isElement = isForeign || this.#preference === "screen-off";
    const kind = prefersWebRtc ? "webrtc" : isElement ? "element" : "stream";
    const present = this.#delivery;
    // The element goes on where it was when a connection breaks.
    if (kind === "stream" && present?.kind === "stream" && !sound.element.error) return present;
    this.#release();
    const [picture, memory, clock] = [this.#pictureOf(mount), this.#credentials.memory(mount), this.#mounts.clock(mount.name)];
    const delivery = deliver(kind, { sound, picture, memory, clock });
    this.#delivery = delivery;
    if (kind === "stream" && !sound.isDirect) this.#checkGraph(session, delivery);
    return delivery;
  }

  /**
   * The picture of a mount's packets. It goes on where it was if this mount was the last one.
   *
   * @param {Mount} mount
   * @returns {StreamPicture}
   */
  #pictureOf(mount) {
    if (this.#packets?.name !== mount.name) {
      this.#packets?.picture.close();
      const picture = new StreamPicture(this.#credentials.memory(mount), this.#mounts.clock(mount.name));
      this.#packets = { name: mount.name, picture };
    }
    return this.#packets.picture;
  }

  /**
   * @param {Session} session
   * @param {Delivery} delivery
   */
  #checkGraph(session, delivery) {
    this.#check = new GraphCheck(
      session.sound,
      () => (this.state === "playing" ? delivery.picture.columns.peak(Math.floor(this.edge(performance.now()) ?? -1)) : null),
      () => {
        remember("graph", "zeros");
        if (!session.over) this.listen(session.mount);
      },
    );
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

  /**
   * @param {Mount} mount
   * @returns {import("./delivery.js").MountRequest}
   */
  #request(mount) {
    const isPlain = this.#delivery?.kind === "element";
    const stream = this.#credentials.request(mount, "", isPlain ? "" : "burst=0ms");
    const whep = this.#credentials.request(mount, "/whep", "");
    const hls = this.#mounts.all.get(mount.name)?.hls ? this.#credentials.request(mount, "/index.m3u8", "").url : null;
    return { stream: stream.url, hls, whep: whep.url, options: stream.options, login: stream.login };
  }

  /**
   * @param {"password" | "token"} kind
   * @param {Session} session
   */
  async #ask(kind, session) {
    this.refused = this.#credentials.forget(session.mount);
    /** @type {Promise<void>} */
    const answered = new Promise((resolve) => {
      this.#answered = resolve;
    });
    this.#enter(kind);
    await Promise.race([answered, session.ended()]);
    if (!session.over) this.#enter("connecting");
  }

  #release() {
    this.#check?.end();
    this.#check = null;
    this.#delivery?.close();
    this.#delivery = null;
  }

  /** @param {State} state */
  #enter(state) {
    if (state === "playing") this.sound?.begin();
    const told = JSON.stringify(this.how);
    const isNew = this.state !== state || this.#told !== told || state === "connecting" || state === "idle";
    this.state = state;
    this.#told = told;
    if (isNew) this.dispatchEvent(new Event("change"));
  }
}

// Whether the graph of this browser gets nothing but zeros.
function hasDeafGraph() {
  return recall("graph", /** @type {string} */ ("")) === "zeros";
}
