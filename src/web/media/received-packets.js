// @ts-check
// The packets that WebRTC receives, as they came.
//
// What a browser plays of them is stretched, shortened and filled in, so that it is as near to live as possible. They are
// what there was.

import { samples } from "./opus.js";

// Whether this browser hands them out.
const GIVES_PACKETS = "RTCRtpScriptTransform" in globalThis;
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
  // The scripts are one file, and `main.js` runs what is for a worker.
  const worker = new Worker(import.meta.url, { type: "module" });
  return new Promise((resolve) => {
    worker.addEventListener("message", () => resolve(worker), { once: true });
    worker.addEventListener("error", () => resolve(null), { once: true });
  });
}

/** A stream by RTP has at most two channels, and each decoder makes two out of one (RFC 7587). */
export const HEAD = { channels: 2, preSkip: 0, inputRate: 48_000, gain: 0, family: 0, mapping: new Uint8Array(0) };

/**
 * Takes the packets of a connection: each, and where it begins in the time of RTP, counted without an end.
 *
 * @typedef {(packet: import("./opus.js").Packet, begin: number) => void} Sink
 */

/**
 * Begins to hand packets to `sink`. Returns what ends that, or null if this browser does not give them.
 *
 * @param {RTCRtpReceiver} receiver Of a connection that has not begun.
 * @param {Sink} sink
 * @returns {Promise<(() => void) | null>}
 */
export async function handOut(receiver, sink) {
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE, null));
  const worker = await Promise.race([prepare(), late]);
  if (!worker) return null;
  const { port1, port2 } = new MessageChannel();
  const timeline = new Timeline();
  port1.onmessage = ({ data: { data, time } }) => {
    const packet = { data: new Uint8Array(data), samples: samples(new Uint8Array(data)) };
    const begin = timeline.place(time, packet.samples);
    if (begin !== null) sink(packet, begin);
  };
  receiver.transform = new RTCRtpScriptTransform(worker, { port: port2 }, [port2]);
  return () => port1.close();
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
