// @ts-check
// Opus packets as fragmented MP4, for Media Source Extensions.
//
// Two pure functions: `init` for the beginning, `fragment` for some packets. Times are in samples at 48 kHz, the scale
// of Ogg's granule positions, so nothing is rounded. (ISO/IEC 14496-12; Encapsulation of Opus in ISO Base Media File
// Format.)

import { ascii, join } from "./bytes.js";

/** @typedef {import("./bytes.js").Bytes} Bytes */

/** Its names: Safari knows only the second one. */
export const TYPES = ['audio/mp4; codecs="opus"', 'audio/mp4; codecs="Opus"'];

const SCALE = 48_000;
const u8 = (/** @type {number[]} */ ...bytes) => Uint8Array.from(bytes);
const u16 = (/** @type {number} */ value) => u8(value >> 8, value);
const u32 = (/** @type {number} */ value) => u8(value >>> 24, value >>> 16, value >>> 8, value);
const u64 = (/** @type {number} */ value) => join([u32(Math.floor(value / 2 ** 32)), u32(value >>> 0)]);
const zeros = (/** @type {number} */ count) => new Uint8Array(count);

/**
 * @param {string} type
 * @param {Bytes[]} parts
 */
function box(type, ...parts) {
  const body = join(parts);
  return join([u32(body.length + 8), ascii(type), body]);
}

/**
 * A box with a version and flags.
 *
 * @param {string} type
 * @param {number} version
 * @param {number} flags
 * @param {Bytes[]} parts
 */
function full(type, version, flags, ...parts) {
  return box(type, u32((version << 24) | flags), ...parts);
}

const IDENTITY = join([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map(u32));

/**
 * The beginning of a stream with this header.
 *
 * @param {import("./opus.js").Head} head
 * @returns {Bytes}
 */
export function init(head) {
  const decoder = box(
    "dOps",
    // The pre-skip applies to the beginning of a recording. A listener joins in the middle.
    u8(0, head.channels), u16(0), u32(head.inputRate), u16(head.gain), u8(head.family),
    head.family === 0 ? zeros(0) : head.mapping,
  );
  const entry = box(
    "Opus",
    zeros(6), u16(1), zeros(8), u16(head.channels), u16(16), zeros(4), u32(SCALE << 16), decoder,
  );
  const empty = u32(0);
  const table = box(
    "stbl",
    full("stsd", 0, 0, u32(1), entry),
    full("stts", 0, 0, empty),
    full("stsc", 0, 0, empty),
    full("stsz", 0, 0, empty, empty),
    full("stco", 0, 0, empty),
  );
  const media = box(
    "mdia",
    full("mdhd", 0, 0, zeros(8), u32(SCALE), empty, u16(0x55c4), u16(0)),
    full("hdlr", 0, 0, empty, ascii("soun"), zeros(12), ascii("\0")),
    box(
      "minf",
      full("smhd", 0, 0, zeros(4)),
      box("dinf", full("dref", 0, 0, u32(1), full("url ", 0, 1))),
      table,
    ),
  );
  const track = box(
    "trak",
    full("tkhd", 0, 7, zeros(8), u32(1), zeros(4), empty, zeros(8), zeros(4), u16(0x100), u16(0),
      IDENTITY, zeros(8)),
    media,
  );
  return join([
    box("ftyp", ascii("iso6"), u32(0), ascii("iso6mp41")),
    box(
      "moov",
      full("mvhd", 0, 0, zeros(8), u32(SCALE), empty, u32(0x10000), u16(0x100), zeros(10),
        IDENTITY, zeros(24), u32(2)),
      track,
      box("mvex", full("trex", 0, 0, u32(1), u32(1), zeros(12))),
    ),
  ]);
}

/**
 * Packets, the first of which is heard at `time`.
 *
 * @param {number} sequence
 * @param {number} time
 * @param {import("./opus.js").Packet[]} packets
 * @returns {Bytes}
 */
export function fragment(sequence, time, packets) {
  const entries = packets.flatMap(({ data, samples }) => [u32(samples), u32(data.length)]);
  // Two passes: the offset of the data is a part of what precedes it.
  const before = (/** @type {number} */ offset) =>
    box(
      "moof",
      full("mfhd", 0, 0, u32(sequence)),
      box(
        "traf",
        full("tfhd", 0, 0x20000, u32(1)),
        full("tfdt", 1, 0, u64(time)),
        full("trun", 0, 0x301, u32(packets.length), u32(offset), ...entries),
      ),
    );
  const offset = before(0).length + 8;
  return join([before(offset), box("mdat", ...packets.map(({ data }) => data))]);
}
