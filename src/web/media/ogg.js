// Ogg pages, out of any cut of bytes.
//
// A browser hands a stream over in pieces that know nothing of pages. `Pages` takes them as
// they come and gives back every page that is complete, with its packets. The server has
// checked the stream already, so no checksum is computed here; what is no page is skipped.

const HEADER = 27;
const CAPTURE = [0x4f, 0x67, 0x67, 0x53]; // "OggS"
// The longest page there can be; more than this is never kept.
const LONGEST = HEADER + 255 + 255 * 255;

export class Pages {
  #kept = new Uint8Array(0);
  #part = []; // of a packet that goes on on the next page

  /** The pages that `bytes` completes: `{ granule, first, last, packets }`. */
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

/** Where the next page may begin, at or after `at`. */
function capture(data, at) {
  for (; at + 4 <= data.length; at += 1) {
    if (CAPTURE.every((byte, i) => data[at + i] === byte)) return at;
  }
  return Math.max(at, 0);
}

/** The length of the page at `at`, or null while too little of it is there. */
function pageLength(data, at) {
  if (at + HEADER > data.length) return null;
  const segments = data[at + 26];
  if (at + HEADER + segments > data.length) return null;
  let length = HEADER + segments;
  for (let i = 0; i < segments; i += 1) length += data[at + HEADER + i];
  return length;
}

/** One array out of several. */
export function join(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
