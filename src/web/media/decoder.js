// @ts-check
// Decodes a stream's packets apart from playback: samples with their place in the stream.
//
// Where there is a secure context, the browser has a decoder for packets. Elsewhere it decodes whole files: some packets
// at a time become one, with those before them, since a decoder needs some time until its output is right. Only what
// follows these is used. After the 80 ms of RFC 7845 (section 4.6), a tone was still wrong by a tenth of its amplitude,
// and after 240 ms by less than a hundredth, which cannot be seen.

import { join } from "./bytes.js";
import * as mp4 from "./mp4.js";
import { totalSamples } from "./opus.js";
import * as webm from "./webm.js";

/**
 * @typedef {import("./opus.js").Head} Head
 * @typedef {import("./opus.js").Packet} Packet
 */

/**
 * Takes mono samples at 48 kHz, the first of which has this granule.
 *
 * @typedef {(samples: Float32Array, granule: number) => void} Sink
 */

/**
 * @typedef {object} Decoder
 * @property {(packets: Packet[], granule: number) => void} packets Packets that follow each other; the first begins at
 *   this granule.
 * @property {() => Promise<void>} flush No more packets follow. Resolves when all were decoded.
 * @property {() => void} close
 */

const RATE = 48_000;
const PREROLL = 0.24 * RATE;
// A file has at least so many new samples.
const PORTION = 0.1 * RATE;

/**
 * @param {Head} head
 * @param {Sink} sink
 * @returns {Decoder}
 */
export function decoder(head, sink) {
  return "AudioDecoder" in globalThis && head.family === 0 ? new PacketDecoder(head, sink) : new FileDecoder(head, sink);
}

/** @implements {Decoder} */
class PacketDecoder {
  #decoder;

  /**
   * @param {Head} head
   * @param {Sink} sink
   */
  constructor({ channels, gain }, sink) {
    const factor = 10 ** (gain / 256 / 20);
    this.#decoder = new AudioDecoder({
      output: (audio) => {
        sink(mixed(audio, factor), Math.round((audio.timestamp * RATE) / 1e6));
        audio.close();
      },
      // What it cannot decode is not shown.
      error: () => {},
    });
    this.#decoder.configure({ codec: "opus", sampleRate: RATE, numberOfChannels: channels });
  }

  /**
   * @param {Packet[]} packets
   * @param {number} granule
   */
  packets(packets, granule) {
    if (this.#decoder.state !== "configured") return;
    for (const { data, samples } of packets) {
      this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: (granule * 1e6) / RATE, data }));
      granule += samples;
    }
  }

  async flush() {
    // What it cannot decode is not shown.
    await this.#decoder.flush().catch(() => {});
  }

  close() {
    if (this.#decoder.state !== "closed") this.#decoder.close();
  }
}

/**
 * All channels as one.
 *
 * @param {AudioData} audio
 * @param {number} factor
 */
function mixed(audio, factor) {
  const { numberOfFrames: length, numberOfChannels: channels } = audio;
  const sum = new Float32Array(length);
  const channel = new Float32Array(length);
  for (let planeIndex = 0; planeIndex < channels; planeIndex += 1) {
    audio.copyTo(channel, { planeIndex, format: "f32-planar" });
    for (let i = 0; i < length; i += 1) sum[i] += (channel[i] * factor) / channels;
  }
  return sum;
}

/** @implements {Decoder} */
class FileDecoder {
  #head;
  #sink;
  #context = new OfflineAudioContext(1, 1, RATE);
  /**
   * Packets that wait, after those that were decoded already.
   *
   * @type {Packet[]}
   */
  #waiting = [];
  #decoded = 0; // samples of the packets that were decoded already
  #new = 0; // samples of the others
  #granule = 0; // where the others begin
  #order = Promise.resolve();
  #closed = false;

  /**
   * @param {Head} head
   * @param {Sink} sink
   */
  constructor(head, sink) {
    this.#head = { ...head, preSkip: 0 };
    this.#sink = sink;
  }

  /**
   * @param {Packet[]} packets
   * @param {number} granule
   */
  packets(packets, granule) {
    if (granule !== this.#granule + this.#new) {
      this.#decode();
      this.#waiting = [];
      this.#decoded = 0;
      this.#granule = granule;
    }
    this.#waiting.push(...packets);
    this.#new += totalSamples(packets);
    if (this.#new >= PORTION) this.#decode();
  }

  flush() {
    this.#decode();
    return this.#order;
  }

  #decode() {
    if (this.#new === 0) return;
    const [packets, wanted, granule] = [[...this.#waiting], this.#new, this.#granule];
    // One after the other: what is decoded later may be ready earlier.
    this.#order = this.#order.then(() => this.#decodeFile(packets, wanted, granule));
    this.#granule += this.#new;
    this.#decoded += this.#new;
    this.#new = 0;
    while (this.#waiting.length > 0 && this.#decoded - this.#waiting[0].samples >= PREROLL) {
      this.#decoded -= this.#waiting[0].samples;
      this.#waiting.shift();
    }
  }

  /**
   * @param {Packet[]} packets
   * @param {number} wanted How many samples at their end are new.
   * @param {number} granule Where these begin.
   */
  async #decodeFile(packets, wanted, granule) {
    for (const container of [webm, mp4]) {
      if (this.#closed) return;
      const file = join([container.init(this.#head), container.fragment(1, 0, packets)]);
      try {
        const audio = await this.#context.decodeAudioData(file.buffer);
        // Some browsers leave the beginning out, as a header with pre-skip would have it.
        if (!this.#closed && audio.length >= wanted) this.#sink(lastOf(audio, wanted), granule);
        return;
      } catch {
        // This browser has no such files.
      }
    }
  }

  close() {
    this.#closed = true;
  }
}

/**
 * The last samples, all channels as one.
 *
 * @param {AudioBuffer} audio
 * @param {number} count
 */
function lastOf(audio, count) {
  const sum = new Float32Array(count);
  for (let channel = 0; channel < audio.numberOfChannels; channel += 1) {
    const samples = audio.getChannelData(channel).subarray(audio.length - count);
    for (let i = 0; i < count; i += 1) sum[i] += samples[i] / audio.numberOfChannels;
  }
  return sum;
}
