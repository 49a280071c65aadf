// What a player has to know of Opus: its header, and how long a packet is (RFC 7845, RFC 6716).
//
// Packets are never opened further than that; the browser decodes them.

const MAGIC = "OpusHead";

/** The header that a stream begins with, or null if `packet` is none. */
export function readHead(packet) {
  if (packet.length < 19 || MAGIC !== String.fromCharCode(...packet.subarray(0, 8))) return null;
  const view = new DataView(packet.buffer, packet.byteOffset);
  return {
    channels: packet[9],
    preSkip: view.getUint16(10, true),
    inputRate: view.getUint32(12, true),
    gain: view.getInt16(16, true),
    family: packet[18],
    // Streams, coupled streams and the mapping itself, as both containers carry them.
    mapping: packet.slice(19),
  };
}

/** Whether a decoder for one of them can go on with the other. */
export function sameDecoder(a, b) {
  return (
    a.channels === b.channels &&
    a.gain === b.gain &&
    a.family === b.family &&
    a.mapping.every((byte, i) => byte === b.mapping[i])
  );
}

/** The length of a packet in samples at 48 kHz; 0 for what is no packet. */
export function samples(packet) {
  if (packet.length === 0) return 0;
  const config = packet[0] >> 3;
  const count = [1, 2, 2, packet.length > 1 ? packet[1] & 63 : 0][packet[0] & 3];
  return count * frame(config);
}

/** The length of one frame: SILK, hybrid and CELT have their own sizes. */
function frame(config) {
  if (config < 12) return [480, 960, 1920, 2880][config & 3];
  if (config < 16) return [480, 960][config & 1];
  return [120, 240, 480, 960][config & 3];
}
