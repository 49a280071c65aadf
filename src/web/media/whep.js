// @ts-check
// One WebRTC connection to a microphone, asked for by WHEP (draft-ietf-wish-whep).
//
// The server has one answer to one offer: candidates are not exchanged later, and what breaks is asked for again. It
// needs no secure context, since nothing is captured here.

import { NoSound, refusal } from "./no-sound.js";

/**
 * Why WebRTC is not possible although the stream may be: it was refused, it was not answered, this browser failed, it
 * never connected, or it delivers nothing while the stream does.
 *
 * @typedef {"refused" | "unanswered" | "unsupported" | "unconnected" | "silent"} Obstacle
 */

/**
 * What has been received until now.
 *
 * @typedef {object} Report
 * @property {number} packets
 * @property {number} buffered Seconds that audio is buffered before it is played.
 * @property {number | null} played The microphone's wall clock at the sample that is played, as Unix time in
 *   milliseconds; null where the browser does not say it.
 */

// How long a connection may take once both sides know of each other.
const CONNECT = 2_000;
// How long the server may take for its answer. A microphone that is switched on for a listener needs some seconds.
const ANSWER = 15_000;
// The same once nobody wants it any more. If it comes, the session can be ended.
const UNWANTED = 2_000;
// From 1900, where the time of RTCP begins, to 1970, in milliseconds.
const NTP_TO_UNIX = 2_208_988_800_000;
// Refusals that say nothing about WebRTC: the stream would be refused as well.
const COMMON = [401, 403, 404, 429];

export const hasWebRtc = "RTCPeerConnection" in globalThis;

export class NoWebRtc extends Error {
  /** @param {Obstacle} obstacle */
  constructor(obstacle) {
    super(obstacle);
    this.obstacle = obstacle;
  }
}

export class WhepConnection {
  #peer = new RTCPeerConnection();
  /**
   * What ends the session at the server.
   *
   * @type {string | null}
   */
  #resource = null;
  /** @type {RequestCredentials} */
  #credentials = "omit";
  #delay = new BufferDelay();
  #closed = false;

  constructor() {
    this.receiver = this.#peer.addTransceiver("audio", { direction: "recvonly" }).receiver;
    // As near to live as the network allows: the browser still adapts its buffer to that.
    this.receiver.jitterBufferTarget = 0;
    this.stream = new MediaStream([this.receiver.track]);
  }

  /**
   * Asks for the microphone, and returns when packets can arrive. Fails with `NoSound` or `NoWebRtc`.
   *
   * @param {string} url
   * @param {RequestInit} options
   * @param {AbortSignal} signal
   */
  async open(url, options, signal) {
    const offer = await this.#peer.createOffer();
    await this.#peer.setLocalDescription({ type: "offer", sdp: withStereo(offer.sdp ?? "") });
    const answer = await this.#ask(url, options, signal);
    await this.#peer.setRemoteDescription({ type: "answer", sdp: answer });
    await this.#connected();
  }

  /**
   * Sends the offer, and returns the answer.
   *
   * @param {string} url
   * @param {RequestInit} options
   * @param {AbortSignal} signal
   */
  async #ask(url, options, signal) {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    let timer = setTimeout(abort, ANSWER);
    const unwanted = () => {
      clearTimeout(timer);
      timer = setTimeout(abort, UNWANTED);
    };
    signal.addEventListener("abort", unwanted, { once: true });
    this.#credentials = options.credentials ?? "same-origin";
    const headers = { ...options.headers, "Content-Type": "application/sdp" };
    const body = this.#peer.localDescription?.sdp;
    try {
      const response = await fetch(url, { ...options, method: "POST", headers, body, signal: attempt.signal });
      if (COMMON.includes(response.status)) throw refusal(response);
      const location = response.headers.get("Location");
      // Other errors than this are of something between the server and this browser.
      if (response.status > 503 || response.status === 502) throw new NoWebRtc("unanswered");
      if (!response.ok || !location) throw new NoWebRtc("refused");
      this.#resource = new URL(location, response.url).href;
      // Meanwhile it may have been closed, when there was nothing to end yet.
      if (this.#closed) this.close();
      return await response.text();
    } catch (error) {
      if (error instanceof NoSound || error instanceof NoWebRtc) throw error;
      throw new NoWebRtc("unanswered");
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", unwanted);
    }
  }

  /** @returns {Promise<void>} */
  #connected() {
    const peer = this.#peer;
    return new Promise((resolve, reject) => {
      const fail = () => reject(new NoWebRtc("unconnected"));
      const timer = setTimeout(fail, CONNECT);
      const look = () => {
        const state = peer.connectionState;
        if (state !== "connected" && state !== "failed" && state !== "closed") return;
        clearTimeout(timer);
        peer.removeEventListener("connectionstatechange", look);
        if (state === "connected") resolve();
        else fail();
      };
      peer.addEventListener("connectionstatechange", look);
      look();
    });
  }

  /** @returns {Promise<Report>} */
  async report() {
    const stats = await this.receiver.getStats();
    const inbound = [...stats.values()].find(({ type }) => type === "inbound-rtp");
    const played = inbound?.estimatedPlayoutTimestamp;
    return {
      packets: inbound?.packetsReceived ?? 0,
      buffered: this.#delay.of(inbound?.jitterBufferDelay ?? 0, inbound?.jitterBufferEmittedCount ?? 0),
      played: played ? played - NTP_TO_UNIX : null,
    };
  }

  /** Ends it here and at the server, and returns when that has answered. */
  async close() {
    this.#closed = true;
    this.#peer.close();
    const resource = this.#resource;
    this.#resource = null;
    if (!resource) return;
    // The server notices by itself that a listener has vanished, only later.
    await fetch(resource, { method: "DELETE", credentials: this.#credentials, keepalive: true }).catch(() => {});
  }
}

/** The present delay of a buffer, from the sums of which browsers give only totals. */
class BufferDelay {
  #delay = 0;
  #count = 0;
  #present = 0;

  /**
   * @param {number} delay The delays of all samples, in seconds.
   * @param {number} count How many samples these are.
   */
  of(delay, count) {
    if (count > this.#count) {
      this.#present = (delay - this.#delay) / (count - this.#count);
      this.#delay = delay;
      this.#count = count;
    }
    return this.#present;
  }
}

/**
 * An offer to receive both channels. Without this, Chromium mixes them (RFC 7587, section 7).
 *
 * @param {string} sdp
 */
export function withStereo(sdp) {
  const type = /^a=rtpmap:(\d+) opus\//im.exec(sdp)?.[1];
  if (!type) return sdp;
  const parameters = new RegExp(`^a=fmtp:${type} .*$`, "m");
  if (parameters.test(sdp)) return sdp.replace(parameters, (line) => `${line.trimEnd()};stereo=1`);
  return sdp.replace(/^a=rtpmap:(\d+) opus\/.*$/im, (line) => `${line.trimEnd()}\r\na=fmtp:${type} stereo=1`);
}
