// @ts-check
// What a player has to know about Opus: its headers, and how long a packet is (RFC 7845, RFC 6716).
//
// Nothing else in a packet is read; the browser decodes it.

/** @typedef {import("./bytes.js").Bytes} Bytes */

/**
 * What the stream's header says.
 *
 * @typedef {object} Head
 * @property {number} channels
 * @property {number} preSkip
 * @property {number} inputRate
 * @property {number} gain
 * @property {number} family
 * @property {Bytes} mapping Streams, coupled streams and the mapping itself, as both containers store them.
 */

/**
 * A packet, and its length at 48 kHz.
 *
 * @typedef {{ data: Bytes, samples: number }} Packet
 */

const MAGIC = "OpusHead";
const TAGS = "OpusTags";

/**
 * The header that a stream begins with, or null if `packet` is something else.
 *
 * @param {Bytes} packet
 * @returns {Head | null}
 */
export function readHead(packet) {
  if (packet.length < 19 || MAGIC !== String.fromCharCode(...packet.subarray(0, 8))) return null;
  const view = new DataView(packet.buffer, packet.byteOffset);
  return {
    channels: packet[9],
    preSkip: view.getUint16(10, true),
    inputRate: view.getUint32(12, true),
    gain: view.getInt16(16, true),
    family: packet[18],
    mapping: packet.slice(19),
  };
}

/**
 * The comments of the header that follows (RFC 7845, section 5.2), such as "TITLE=Pond", as far as they are in `packet`.
 *
 * @param {Bytes} packet
 * @returns {string[]}
 */
export function readComments(packet) {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const comments = [];
  // The vendor's string is followed by the number of comments.
  let at = TAGS.length;
  for (let skipped = false; at + 4 <= packet.length; skipped = true) {
    const end = at + 4 + view.getUint32(at, true);
    if (end > packet.length) break;
    if (skipped) comments.push(new TextDecoder().decode(packet.subarray(at + 4, end)));
    at = skipped ? end : end + 4;
  }
  return comments;
}

/**
 * Whether a decoder for one of them can continue with the other.
 *
 * @param {Head} a
 * @param {Head} b
 */
export function sameDecoder(a, b) {
  return (
    a.channels === b.channels &&
    a.gain === b.gain &&
    a.family === b.family &&
    a.mapping.every((byte, i) => byte === b.mapping[i])
  );
}

/**
 * The length of a packet in samples at 48 kHz, or 0 if it is not a valid packet.
 *
 * @param {Bytes} packet
 */
export function samples(packet) {
  if (packet.length === 0) return 0;
  const config = packet[0] >> 3;
  const count = [1, 2, 2, packet.length > 1 ? packet[1] & 63 : 0][packet[0] & 3];
  return count * frame(config);
}

/**
 * The length of these packets together, in samples at 48 kHz.
 *
 * @param {Packet[]} packets
 */
export function totalSamples(packets) {
  return packets.reduce((sum, packet) => sum + packet.samples, 0);
}

/**
 * The length of one frame: SILK, hybrid and CELT each have their own sizes.
 *
 * @param {number} config
 */
function frame(config) {
  if (config < 12) return [480, 960, 1920, 2880][config & 3];
  if (config < 16) return [480, 960][config & 1];
  return [120, 240, 480, 960][config & 3];
}
