// @ts-check
// Plays by WebRTC: nearer to live than the stream, and what is lost on the way stays lost.
//
// UDP may be blocked, at the beginning or later. Then the stream is there, so this gives up as soon as it is sure. A
// microphone that sends nothing is no reason for that, and looks the same from here: so after a second without a packet
// the stream is asked, and whichever brings audio first is used.

import { linked } from "../media/linked.js";
import { NoSound } from "../media/no-sound.js";
import { NoWebRtc, WhepConnection } from "../media/whep.js";
import { HEAD, handOut } from "../media/received-packets.js";
import { receive } from "../media/stream.js";
import { PlaybackPicture } from "./playback-picture.js";
import { RtpPlaces } from "./rtp-places.js";
import { STEP } from "./steps.js";

/**
 * @typedef {import("../media/whep.js").Report} Report
 * @typedef {import("./delivery.js").Delivery} Delivery
 * @typedef {import("./delivery.js").MountRequest} MountRequest
 * @typedef {import("./session.js").Session} Session
 */

const OPUS_RATE = 48_000;
// Between two looks at what has arrived, in milliseconds: until the first packet, and then.
const FIRST_LOOKS = 50;
const LOOKS = 250;
// How long the end of a session at the server is waited for.
const FAREWELL = 500;
// From when on it matters that nothing arrives.
const SILENCE = 1_000;
/** @type {Report} */
const NOTHING = { packets: 0, buffered: 0, played: null };

/** @implements {Delivery} */
export class ByWebRtc {
  /** @type {"webrtc"} */
  kind = "webrtc";

  #means;
  /** @type {WhepConnection | null} */
  #connection = null;
  /**
   * Places the packets in the stream, and stops their delivery. Null if this browser gives no packets.
   *
   * @type {{ places: RtpPlaces, end: () => void } | null}
   */
  #packets = null;
  /** The picture of what is played, where there are no packets. */
  #playback;
  #closed = false;
  #report = NOTHING;
  /** When the report was made. */
  #reported = 0;
  /** Whether packets come. */
  #isHeard = false;

  /** @param {import("./delivery.js").Means} means */
  constructor(means) {
    this.#means = means;
    this.#playback = new PlaybackPicture(means.sound.analyser);
  }

  get picture() {
    return this.#packets ? this.#means.picture : this.#playback;
  }

  /** Whether what is shown are the packets, and not what the browser plays. */
  get showsPackets() {
    return this.#packets !== null;
  }

  /**
   * @param {Session} session
   * @param {MountRequest} request
   * @param {(isHeard: boolean) => void} heard
   * @returns {Promise<never>}
   */
  async play(session, request, heard) {
    const close = () => this.close();
    session.signal.addEventListener("abort", close, { once: true });
    addEventListener("pagehide", close, { once: true });
    try {
      const connection = new WhepConnection();
      this.#connection = connection;
      this.#means.sound.receive(connection.stream);
      await this.#showPackets(connection);
      await connection.open(request.whep, request.options, session.signal);
      // Not before: a clip is a listener, too, and would take the seat where there is only one.
      if (this.#packets) this.#means.picture.past.begin();
      return await this.#watch(connection, session, request, heard);
    } catch (error) {
      if (error instanceof NoSound || error instanceof NoWebRtc || session.over) throw error;
      // Some browsers have only parts of it.
      console.warn(error);
      throw new NoWebRtc("unsupported");
    } finally {
      session.signal.removeEventListener("abort", close);
      removeEventListener("pagehide", close);
      // What follows needs the seat of this listener.
      await Promise.race([this.close(), session.pause(FAREWELL)]);
    }
  }

  /** @param {WhepConnection} connection */
  async #showPackets({ receiver }) {
    const { picture, memory, clock } = this.#means;
    const places = new RtpPlaces(picture, memory, clock);
    picture.head(HEAD);
    const end = await handOut(receiver, (packet, begin) => places.add(packet, begin, performance.now()));
    if (!end || this.#closed) end?.();
    else this.#packets = { places, end };
  }

  /**
   * Follows what arrives until that ends.
   *
   * @param {WhepConnection} connection
   * @param {Session} session
   * @param {MountRequest} request
   * @param {(isHeard: boolean) => void} heard
   * @returns {Promise<never>}
   */
  async #watch(connection, session, request, heard) {
    let since = performance.now();
    for (;;) {
      const { packets } = this.#report;
      await session.pause(packets === 0 ? FIRST_LOOKS : LOOKS);
      if (session.over) throw new NoSound("lost");
      this.#isHeard = await this.#hasMoreThan(packets, connection);
      if (this.#isHeard) {
        since = performance.now();
        heard(true);
      } else if (performance.now() - since > SILENCE) {
        heard(false);
        if (await this.#isOvertaken(connection, session, request)) throw new NoWebRtc("silent");
        since = performance.now();
      }
    }
  }

  /**
   * Waits for the next audio. Returns whether the stream brought it, and this did not.
   *
   * @param {WhepConnection} connection
   * @param {Session} session
   * @param {MountRequest} request
   */
  async #isOvertaken(connection, session, { stream, options }) {
    const { packets } = this.#report;
    const attempt = linked(session.signal);
    let isStreaming = false;
    const received = receive(stream, options, attempt.signal, {
      head: () => {},
      packets: () => {
        isStreaming = true;
      },
    });
    // Its end counts only below.
    received.catch(() => {});
    try {
      for (;;) {
        // The stream has to be earlier by a whole look.
        const wasStreaming = isStreaming;
        await Promise.race([received, session.pause(LOOKS)]);
        if (await this.#hasMoreThan(packets, connection)) return false;
        if (wasStreaming) return true;
      }
    } catch (error) {
      // The stream gets the seat that this one has.
      if (error instanceof NoSound && (error.reason === "full" || error.reason === "rate-limited")) return true;
      throw error;
    } finally {
      attempt.abort();
    }
  }

  /**
   * @param {number} packets
   * @param {WhepConnection} connection
   */
  async #hasMoreThan(packets, connection) {
    this.#report = await connection.report();
    this.#reported = performance.now();
    return this.#report.packets > packets;
  }

  /**
   * @param {import("./clock.js").LiveClock} clock
   * @param {number} now
   */
  behind(clock, now) {
    const { buffered, played } = this.#report;
    if (!this.#isHeard) return null;
    const time = clock.time(now);
    return played === null || time === null ? buffered : (time - played - (now - this.#reported)) / 1000;
  }

  /**
   * @param {import("./clock.js").LiveClock} clock
   * @param {number} now
   */
  edge(clock, now) {
    if (!this.#packets) return this.#playback.follow(now, this.#wall(clock, now));
    // What is heard is as much older than the newest packet as the browser buffers.
    const { newest } = this.#packets.places;
    return this.#isHeard && newest > 0 ? (newest - this.#report.buffered * OPUS_RATE) / STEP : null;
  }

  /**
   * @param {import("./clock.js").LiveClock} clock
   * @param {number} now
   */
  #wall(clock, now) {
    const delay = this.behind(clock, now);
    const time = clock.time(now);
    return delay === null || time === null ? null : time - delay * 1000;
  }

  // Nothing is kept that could be skipped.
  toLive() {}

  async close() {
    // Something else may be played already.
    if (this.#closed) return;
    this.#closed = true;
    this.#isHeard = false;
    this.#report = NOTHING;
    this.#packets?.end();
    await this.#means.sound.endReceiving();
    await this.#connection?.close();
  }
}
