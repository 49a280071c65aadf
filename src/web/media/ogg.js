// @ts-check
// Ogg pages, from bytes in pieces of any size (RFC 3533).
//
// A browser delivers a stream in pieces that have nothing to do with pages. `Pages` takes them as they come and returns
// every page that is complete, with its packets. The server has checked the stream already, so no checksum is computed
// here; bytes that are not part of a page are skipped.

import { join } from "./bytes.js";

/** @typedef {import("./bytes.js").Bytes} Bytes */

/**
 * @typedef {object} Page
 * @property {number} granule The granule position.
 * @property {boolean} first Whether it begins a logical stream.
 * @property {boolean} last Whether it ends one.
 * @property {Bytes[]} packets Those that end on this page.
 */

const HEADER = 27;
const CAPTURE = [0x4f, 0x67, 0x67, 0x53]; // "OggS"
// The longest possible page. No more than this is ever kept.
const LONGEST = HEADER + 255 + 255 * 255;

export class Pages {
  /** @type {Bytes} */
  #kept = new Uint8Array(0);
  /**
   * The beginning of a packet that continues on the next page.
   *
   * @type {Bytes[]}
   */
  #part = [];

  /**
   * The pages that `bytes` completes.
   *
   * @param {Bytes} bytes
   * @returns {Page[]}
   */
  push(bytes) {
    const data = join([this.#kept, bytes]);
    const pages = [];
    let at = 0;
    for (;;) {
      at = capture(data, at);
      const length = pageLength(data, at);
      if (length === null || at + length > data.length) break;
      pages.push(this.#page(data.subarray(at, at + length)));
      at += length;
    }
    this.#kept = data.slice(Math.max(at, data.length - LONGEST));
    return pages;
  }

  /**
   * @param {Bytes} page
   * @returns {Page}
   */
  #page(page) {
    const view = new DataView(page.buffer, page.byteOffset);
    const flags = page[5];
    const segments = page[26];
    if (!(flags & 1)) this.#part = [];
    const packets = [];
    let at = HEADER + segments;
    for (let i = 0; i < segments; i += 1) {
      const size = page[HEADER + i];
      this.#part.push(page.subarray(at, at + size));
      at += size;
      if (size < 255) {
        packets.push(join(this.#part));
        this.#part = [];
      }
    }
    const granule = view.getInt32(10, true) * 2 ** 32 + view.getUint32(6, true);
    return { granule, first: Boolean(flags & 2), last: Boolean(flags & 4), packets };
  }
}

/**
 * Where the next page may begin, at or after `at`.
 *
 * @param {Bytes} data
 * @param {number} at
 */
function capture(data, at) {
  for (; at + 4 <= data.length; at += 1) {
    if (CAPTURE.every((byte, i) => data[at + i] === byte)) return at;
  }
  return Math.max(at, 0);
}

/**
 * The length of the page at `at`, or null while too little of it has arrived.
 *
 * @param {Bytes} data
 * @param {number} at
 */
function pageLength(data, at) {
  if (at + HEADER > data.length) return null;
  const segments = data[at + 26];
  if (at + HEADER + segments > data.length) return null;
  let length = HEADER + segments;
  for (let i = 0; i < segments; i += 1) length += data[at + HEADER + i];
  return length;
}
