// Listening to one microphone at a time: from the click on, through everything that can happen to it.
//
// `state` is one of the words below and `change` is dispatched with each of them; what they mean to
// a person is in messages.js. Whatever happens, it goes on trying until somebody stops it, or the
// server says no.
//
//   idle · connecting · playing · waiting (the buffer ran dry) · lost (reconnecting) · absent · full · patience
//   password · token (asks for it) · closed · blocked (the browser wants a click) · broken

import { address } from "./mounts.js";
import { canPlay, Player } from "../media/player.js";
import { Sound } from "../media/sound.js";
import { NoSound, receive } from "../media/stream.js";

const OPUS_RATE = 48_000;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 5_000;

export class Listening extends EventTarget {
  mount = null;
  state = "idle";
  /** Whether the browser plays it in its own way, seconds behind. */
  plain = false;
  sound = null;

  #mounts;
  #volume = 1;
  #player = null;
  #session = null;
  #secrets = new Map();
  #secretCame = () => {};
  #refused = false;

  constructor(mounts) {
    super();
    this.#mounts = mounts;
    // A microphone that has come back is not kept waiting.
    mounts.addEventListener("change", () => {
      if (this.state === "absent" && mounts.all.has(this.mount?.name)) this.#session?.hurry();
    });
  }

  /** Plays this one and nothing else. Called from a click. */
  listen(mount) {
    this.stop();
    this.mount = mount;
    const session = new Session();
    this.#session = session;
    this.#refused = false;
    this.#prepare(mount);
    this.plain = mount.codec !== "Opus" || !canPlay;
    this.#say("connecting");
    this.#run(session).catch((error) => {
      if (session.over) return;
      console.error(error);
      this.#end("broken");
    });
  }

  stop() {
    this.#end("idle");
  }

  #end(state) {
    this.#session?.end();
    this.#session = null;
    this.#release();
    this.sound?.stop();
    this.#say(state);
  }

  /** What the person answered to `password` or `token`. */
  answer(secret) {
    this.#secrets.set(this.mount.name, secret);
    this.#secretCame();
  }

  /** Whether nothing is played, and nothing will be without a click. */
  get silent() {
    return ["idle", "closed", "blocked", "broken"].includes(this.state);
  }

  /** Whether the last answer was wrong. */
  get refused() {
    return this.#refused;
  }

  set volume(volume) {
    this.#volume = volume;
    if (this.sound) this.sound.volume = volume;
  }

  toLive() {
    this.#player?.toLive();
  }

  /** Seconds between the microphone's newest sample and the ear, or null if nobody can know. */
  behind() {
    const position = this.#player?.position ?? null;
    const live = this.mount && this.#mounts.clock(this.mount.name).live(performance.now());
    if (position === null || live === null || this.state === "idle") return null;
    return Math.max(0, (live - position) / OPUS_RATE + this.sound.delay);
  }

  /** The microphone's wall clock at what is heard, as Unix time in milliseconds. */
  wall() {
    const position = this.#player?.position ?? null;
    const wall = position === null ? null : this.#mounts.clock(this.mount.name).wall(position);
    return wall ?? Date.now();
  }

  #prepare(mount) {
    const rate = mount.codec === "Opus" ? OPUS_RATE : mount.sample_rate || OPUS_RATE;
    if (this.sound?.rate === rate) return;
    this.sound?.close();
    this.sound = new Sound(rate, this.#volume);
    const { element } = this.sound;
    const on = (type, work) => element.addEventListener(type, () => this.#session && work());
    on("playing", () => this.#say("playing"));
    on("waiting", () => this.state === "playing" && this.#say("waiting"));
    on("pause", () => !element.ended && this.stop());
    on("ended", () => this.#session.fail(new NoSound("lost")));
    on("error", () => this.#session.fail(new NoSound("lost")));
    on("unplayable", () => this.#session.fail(new NoSound("lost")));
  }

  async #run(session) {
    let wait = FIRST_WAIT;
    while (!session.over) {
      const begun = performance.now();
      const reason = await this.#attempt(session);
      if (session.over) return;
      if (performance.now() - begun > LONGEST_WAIT) wait = FIRST_WAIT;
      switch (reason.reason) {
        case "closed":
          return this.#end("closed");
        case "foreign":
          this.plain = true;
          break;
        case "password":
        case "token":
          await this.#ask(reason.reason, session);
          break;
        default:
          this.#say(reason.reason);
          await session.pause(reason.wait * 1000 || wait);
          wait = Math.min(LONGEST_WAIT, wait * 2);
      }
    }
  }

  /** Plays until it ends, and returns why it did. */
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

  async #playLive(session) {
    // The element goes on where it was, also over a connection that broke.
    if (!this.#player || this.sound.element.error) {
      this.#release();
      this.#player = new Player(this.sound.element);
      this.#start(session);
    }
    const player = this.#player;
    const [headers, query] = this.#credentials();
    // With the browser's own credentials it would put its own question before the page's.
    const credentials = this.mount.access === "public" ? "same-origin" : "omit";
    const url = address(this.mount.name, `?burst=0ms${query}`);
    const attempt = new AbortController();
    session.signal.addEventListener("abort", () => attempt.abort(), { signal: attempt.signal });
    const received = receive(url, { headers, credentials }, attempt.signal, {
      head: (head) => player.head(head),
      packets: (packets, granule) => {
        player.packets(packets, granule);
        this.#resumed();
      },
    });
    try {
      await Promise.race([session.failed(), received]);
    } finally {
      attempt.abort();
    }
  }

  // After a connection came back the element may never have stopped, and says nothing.
  #resumed() {
    if (!["lost", "absent", "full", "patience"].includes(this.state)) return;
    this.#say(this.sound.element.readyState > 2 ? "playing" : "waiting");
  }

  async #playPlainly(session) {
    this.#release();
    const [, query] = this.#credentials();
    this.sound.element.src = address(this.mount.name, query && `?${query.slice(1)}`);
    this.#start(session);
    await session.failed();
  }

  #start(session) {
    this.sound.play().catch((error) => {
      if (!session.over && error.name === "NotAllowedError") this.#end("blocked");
    });
  }

  #credentials() {
    const secret = this.#secrets.get(this.mount.name);
    if (!secret) return [{}, ""];
    if (secret.token) return [{}, `&token=${encodeURIComponent(secret.token)}`];
    const bytes = new TextEncoder().encode(`${secret.user}:${secret.password}`);
    return [{ Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` }, ""];
  }

  async #ask(kind, session) {
    this.#refused = this.#secrets.delete(this.mount.name);
    const answer = new Promise((resolve) => (this.#secretCame = resolve));
    this.#say(kind);
    await Promise.race([answer, session.ended()]);
    if (!session.over) this.#say("connecting");
  }

  #release() {
    this.#player?.close();
    this.#player = null;
  }

  #say(state) {
    if (this.state === state && state !== "connecting" && state !== "idle") return;
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}

/** From one click to the next. */
class Session {
  #abort = new AbortController();
  #fail = () => {};
  hurry = () => {};

  get signal() {
    return this.#abort.signal;
  }

  get over() {
    return this.signal.aborted;
  }

  end() {
    this.#abort.abort();
    this.#fail(new NoSound("lost"));
    this.hurry();
  }

  ended() {
    return new Promise((resolve) => this.signal.addEventListener("abort", resolve, { once: true }));
  }

  /** Rejects when the element fails. */
  failed() {
    return new Promise((_, reject) => (this.#fail = reject));
  }

  fail(error) {
    this.#fail(error);
  }

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
