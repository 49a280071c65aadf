// @ts-check
// What is shown while WebRTC is heard: the packets as they arrived.
//
// What WebRTC plays is stretched, shortened and filled in by the browser, so that it is as near to live as possible. Its
// packets are decoded here once more, by the player of the stream: so the picture is the one that the stream would give,
// and follows the sound by as much as that player has buffered.

import { samples } from "./opus.js";
import { canPlay, Player } from "./player.js";

// Whether this browser hands out the packets that WebRTC receives, and can decode them once more.
const GIVES_PACKETS = canPlay && "RTCRtpScriptTransform" in globalThis;
// How long sound may wait for it, in milliseconds.
const PATIENCE = 500;

/**
 * The worker that copies the packets to the page; it resolves to null if this browser cannot start one.
 *
 * @type {Promise<Worker | null> | null}
 */
let thread = null;

/** Starts the thread, which takes a moment: Chromium gives packets only to one that exists before the connection. */
export function prepare() {
  thread ??= GIVES_PACKETS ? start() : Promise.resolve(null);
  return thread;
}

/** @returns {Promise<Worker | null>} */
function start() {
  const worker = new Worker(new URL("packets-worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve) => {
    worker.addEventListener("message", () => resolve(worker), { once: true });
    worker.addEventListener("error", () => resolve(null), { once: true });
  });
}

// A stream by RTP has at most two channels, and each decoder makes two out of one (RFC 7587).
const HEAD = { channels: 2, preSkip: 0, inputRate: 48_000, gain: 0, family: 0, mapping: new Uint8Array(0) };

export class PacketPicture {
  #channel = new MessageChannel();
  #player;
  #timeline = new Timeline();
  #closed = new AbortController();

  /**
   * The picture of what is received, or null if this browser does not give the packets.
   *
   * @param {RTCRtpReceiver} receiver Of a connection that has not begun.
   * @param {HTMLMediaElement} element What plays it; nobody hears that.
   * @param {() => void} failed Called if the element cannot play it.
   * @returns {Promise<PacketPicture | null>}
   */
  static async of(receiver, element, failed) {
    const late = new Promise((resolve) => setTimeout(resolve, PATIENCE, null));
    const worker = await Promise.race([prepare(), late]);
    return worker && new PacketPicture(receiver, worker, element, failed);
  }

  /**
   * @param {RTCRtpReceiver} receiver
   * @param {Worker} worker
   * @param {HTMLMediaElement} element
   * @param {() => void} failed
   */
  constructor(receiver, worker, element, failed) {
    this.#player = new Player(element);
    this.#player.head(HEAD);
    const { port1, port2 } = this.#channel;
    port1.onmessage = ({ data }) => this.#add(new Uint8Array(data.data), data.time);
    receiver.transform = new RTCRtpScriptTransform(worker, { port: port2 }, [port2]);
    const { signal } = this.#closed;
    for (const type of ["error", "unplayable"]) element.addEventListener(type, failed, { signal });
    element.play().catch(() => {
      if (!signal.aborted) failed();
    });
  }

  /**
   * @param {import("./bytes.js").Bytes} data
   * @param {number} time In RTP.
   */
  #add(data, time) {
    const length = samples(data);
    const begin = this.#timeline.place(time, length);
    if (begin !== null) this.#player.packets([{ data, samples: length }], begin);
  }

  /** Seconds from the newest packet to what is shown, or null before anything is. */
  get lag() {
    return this.#player.lag;
  }

  close() {
    this.#closed.abort();
    this.#channel.port1.close();
    this.#player.close();
  }
}

/** Where packets belong whose times have 32 bits. */
export class Timeline {
  /**
   * Where the next packet begins if none is missing.
   *
   * @type {number | null}
   */
  #next = null;

  /**
   * The first sample of a packet. Null if the packet cannot be used: it is not Opus, or it arrived too late.
   *
   * @param {number} time In RTP.
   * @param {number} length In samples.
   * @returns {number | null}
   */
  place(time, length) {
    if (length === 0) return null;
    const next = this.#next ?? time;
    // The difference, as a signed number of 32 bits.
    const begin = next + ((time - next) | 0);
    if (begin < next) return null;
    this.#next = begin + length;
    return begin;
  }
}
