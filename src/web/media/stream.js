// @ts-check
// One connection to a microphone: the Opus packets that arrive, with their place in time.
//
// The stream is fetched, not given to an `<audio>` element: an element takes data in steps of 32 KiB, which is four
// seconds. Every end of a connection is a `NoSound` with a reason, from which `Listening` decides what to do next.

import { linked } from "./linked.js";
import { NoSound, refusal } from "./no-sound.js";
import { Pages } from "./ogg.js";
import { readHead, samples, totalSamples } from "./opus.js";

/**
 * @typedef {import("./bytes.js").Bytes} Bytes
 * @typedef {import("./opus.js").Head} Head
 * @typedef {import("./opus.js").Packet} Packet
 */

/**
 * Takes what arrives: the header of each logical stream, and packets, the first of which begins at `granule`.
 *
 * @typedef {object} Sink
 * @property {(head: Head) => void} head
 * @property {(packets: Packet[], granule: number) => void} packets
 */

// A live connection delivers pages more often than this, even where gaps are not filled with silence.
const TIMEOUT = 12_000;

/**
 * Receives until the stream ends or `signal` is aborted. It always ends with a `NoSound`.
 *
 * @param {string} url
 * @param {RequestInit} options
 * @param {AbortSignal} signal
 * @param {Sink} sink
 * @returns {Promise<never>}
 */
export async function receive(url, options, signal, sink) {
  const ended = linked(signal);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let watch;
  const heard = () => {
    clearTimeout(watch);
    watch = setTimeout(() => ended.abort(), TIMEOUT);
  };
  try {
    heard();
    const response = await request(url, options, ended.signal);
    const reader = response.body.getReader();
    const stream = new Packets(sink);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      heard();
      stream.push(value);
    }
  } catch (error) {
    if (error instanceof NoSound) throw error;
  } finally {
    clearTimeout(watch);
    ended.abort();
  }
  throw new NoSound("lost");
}

/**
 * @param {string} url
 * @param {RequestInit} options
 * @param {AbortSignal} signal
 */
async function request(url, options, signal) {
  const response = await fetch(url, { ...options, signal, cache: "no-store" });
  const { body } = response;
  if (response.ok && body) return { body };
  throw refusal(response);
}

/** Separates headers from audio, and computes where each packet belongs. */
class Packets {
  #pages = new Pages();
  #sink;
  #headers = 0; // packets of headers that are still to come

  /** @param {Sink} sink */
  constructor(sink) {
    this.#sink = sink;
  }

  /** @param {Bytes} bytes */
  push(bytes) {
    /** @type {Packet[]} */
    let packets = [];
    let granule = 0;
    for (const page of this.#pages.push(bytes)) {
      if (page.first) {
        this.#flush(packets, granule);
        packets = [];
        this.#begin(page);
      } else if (this.#headers > 0) {
        // Tags may extend over several pages. Only the last of these completes a packet.
        this.#headers -= page.packets.length;
      } else {
        const audio = page.packets
          .map((data) => ({ data, samples: samples(data) }))
          .filter((packet) => packet.samples > 0);
        if (audio.length === 0) continue;
        const begin = page.granule - totalSamples(audio);
        if (begin !== granule + totalSamples(packets)) {
          this.#flush(packets, granule);
          packets = [];
        }
        if (packets.length === 0) granule = begin;
        packets.push(...audio);
      }
    }
    this.#flush(packets, granule);
  }

  /** @param {import("./ogg.js").Page} page */
  #begin(page) {
    const head = readHead(page.packets[0] ?? new Uint8Array(0));
    if (!head) throw new NoSound("foreign");
    this.#headers = 1;
    this.#sink.head(head);
  }

  /**
   * @param {Packet[]} packets
   * @param {number} granule
   */
  #flush(packets, granule) {
    if (packets.length > 0) this.#sink.packets(packets, granule);
  }
}
