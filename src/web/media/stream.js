// One connection to a microphone: what comes from it, as Opus packets with their place in time.
//
// It is fetched, not given to an `<audio>` element, as an element takes data in steps of 32 KiB,
// which is four seconds of it. Every way in which this can end is an error with a reason, for
// whoever decides what to do next.

import { Pages } from "./ogg.js";
import { readHead, samples } from "./opus.js";

// Even where silence is not filled in, pages come more often than this from what still lives.
const PATIENCE = 12_000;

/** Why there is no sound: one of the states of `Listening`, or `foreign` for what is no Opus. */
export class NoSound extends Error {
  constructor(reason, wait = 0) {
    super(reason);
    this.reason = reason;
    this.wait = wait;
  }
}

/**
 * Receives until the stream ends, which always throws `NoSound`, or until `signal` is aborted.
 * `on.head(head)` is called for each header, `on.packets(packets, granule)` for what comes: the
 * first of them begins at `granule`.
 */
export async function receive(url, options, signal, on) {
  const ended = new AbortController();
  const stop = () => ended.abort();
  signal.addEventListener("abort", stop, { once: true });
  let watch;
  const heard = () => {
    clearTimeout(watch);
    watch = setTimeout(stop, PATIENCE);
  };
  try {
    heard();
    const response = await request(url, options, ended.signal);
    const reader = response.body.getReader();
    const stream = new Packets(on);
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
    signal.removeEventListener("abort", stop);
    ended.abort();
  }
  throw new NoSound("lost");
}

async function request(url, options, signal) {
  const response = await fetch(url, { ...options, signal, cache: "no-store" });
  if (response.ok && response.body) return response;
  const asked = response.headers.get("WWW-Authenticate") ?? "";
  const wait = Number(response.headers.get("Retry-After")) || 0;
  switch (response.status) {
    case 401: throw new NoSound(/^bearer/i.test(asked) ? "token" : "password");
    case 403: throw new NoSound("closed");
    case 404: throw new NoSound("absent");
    case 429: throw new NoSound("patience", wait || 60);
    case 503: throw new NoSound("full", wait);
    default: throw new NoSound("lost");
  }
}

/** Tells headers from audio, and says where each packet belongs. */
class Packets {
  #pages = new Pages();
  #on;
  #headers = 0; // pages of headers that are still to come

  constructor(on) {
    this.#on = on;
  }

  push(bytes) {
    let packets = [];
    let granule = null;
    for (const page of this.#pages.push(bytes)) {
      if (page.first) {
        this.#flush(packets, granule);
        packets = [];
        this.#begin(page);
      } else if (this.#headers > 0) {
        // Tags may go on over several pages; only the last of them completes a packet.
        this.#headers -= page.packets.length;
      } else {
        const audio = page.packets
          .map((data) => ({ data, samples: samples(data) }))
          .filter((packet) => packet.samples > 0);
        if (audio.length === 0) continue;
        const begin = page.granule - length(audio);
        if (granule !== null && begin !== granule + length(packets)) {
          this.#flush(packets, granule);
          packets = [];
        }
        if (packets.length === 0) granule = begin;
        packets.push(...audio);
      }
    }
    this.#flush(packets, granule);
  }

  #begin(page) {
    const head = readHead(page.packets[0] ?? new Uint8Array(0));
    if (!head) throw new NoSound("foreign");
    this.#headers = 1;
    this.#on.head(head);
  }

  #flush(packets, granule) {
    if (packets.length > 0) this.#on.packets(packets, granule);
  }
}

function length(packets) {
  return packets.reduce((sum, packet) => sum + packet.samples, 0);
}
