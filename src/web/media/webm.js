// @ts-check
// Opus packets as WebM, for browsers that do not support Opus in MP4.
//
// The same two functions as in mp4.js. Times are given in samples at 48 kHz. WebM counts in multiples of a unit; with
// half a millisecond, even the shortest packets begin at a whole number of units. (RFC 8794, RFC 9559.)

import { ascii, join } from "./bytes.js";

/**
 * @typedef {import("./bytes.js").Bytes} Bytes
 * @typedef {import("./opus.js").Head} Head
 */

export const TYPES = ['audio/webm; codecs="opus"'];

const UNIT = 500_000; // nanoseconds
const SAMPLES = 24; // per unit
const PREROLL = 80_000_000;

/**
 * An unsigned number in as few bytes as possible.
 *
 * @param {number} value
 */
function number(value) {
  const bytes = [];
  for (let rest = value; rest > 0 || bytes.length === 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.from(bytes);
}

/** @param {number} value */
function float(value) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value);
  return bytes;
}

const id = (/** @type {string} */ hex) => number(Number.parseInt(hex, 16));

/**
 * An element. Its length is always written in four bytes, which is valid.
 *
 * @param {string} hex Its ID.
 * @param {Bytes[]} parts
 */
function element(hex, ...parts) {
  const body = join(parts);
  const length = Uint8Array.of(0x10 | (body.length >> 24), body.length >> 16, body.length >> 8, body.length);
  return join([id(hex), length, body]);
}

/**
 * The beginning of a stream with this header.
 *
 * @param {Head} head
 * @returns {Bytes}
 */
export function init(head) {
  const header = element(
    "1A45DFA3",
    element("4286", number(1)), element("42F7", number(1)), element("42F2", number(4)),
    element("42F3", number(8)), element("4282", ascii("webm")), element("4287", number(4)),
    element("4285", number(2)),
  );
  const about = element(
    "1549A966",
    element("2AD7B1", number(UNIT)), element("4D80", ascii("silvacast")), element("5741", ascii("silvacast")),
  );
  const track = element(
    "AE",
    element("D7", number(1)), element("73C5", number(1)), element("83", number(2)),
    element("86", ascii("A_OPUS")), element("63A2", opusHead(head)), element("56BB", number(PREROLL)),
    element("E1", element("B5", float(48_000)), element("9F", number(head.channels))),
  );
  // A segment of unknown length.
  const segment = join([id("18538067"), Uint8Array.of(1, 255, 255, 255, 255, 255, 255, 255)]);
  return join([header, segment, about, element("1654AE6B", track)]);
}

/**
 * The header as in Ogg, but without pre-skip: a listener joins in the middle.
 *
 * @param {Head} head
 */
function opusHead(head) {
  const bytes = new Uint8Array(19);
  const view = new DataView(bytes.buffer);
  bytes.set(ascii("OpusHead"));
  bytes[8] = 1;
  bytes[9] = head.channels;
  view.setUint32(12, head.inputRate, true);
  view.setInt16(16, head.gain, true);
  bytes[18] = head.family;
  return head.family === 0 ? bytes : join([bytes, head.mapping]);
}

/**
 * Packets, the first of which is heard at `time`.
 *
 * @param {number} _sequence
 * @param {number} time
 * @param {import("./opus.js").Packet[]} packets
 * @returns {Bytes}
 */
export function fragment(_sequence, time, packets) {
  const begin = Math.round(time / SAMPLES);
  let at = time;
  const blocks = packets.map(({ data, samples }) => {
    const offset = Math.round(at / SAMPLES) - begin;
    at += samples;
    return element("A3", Uint8Array.of(0x81, offset >> 8, offset, 0x80), data);
  });
  return element("1F43B675", element("E7", number(begin)), ...blocks);
}
