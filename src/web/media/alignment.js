// @ts-check
// Where packets are in another series of packets: the same ones are in both. Pure.
//
// WebRTC has a time of its own, and a clip has a date. That a packet of one is also in the other says to the sample
// how both belong together.

/** @typedef {{ data: Uint8Array, at: number }} PlacedPacket */

// So many packets have to agree. Silence has the same packets again and again.
const ENOUGH = 3;

/**
 * What is to be added to a place in `some` to get the same packet's place in `others`, or null if that cannot be said.
 *
 * @param {PlacedPacket[]} some
 * @param {PlacedPacket[]} others
 * @returns {number | null}
 */
export function offset(some, others) {
  /** @type {Map<string, number | null>} */
  const places = new Map();
  for (const { data, at } of others) {
    const text = key(data);
    places.set(text, places.has(text) ? null : at);
  }
  /** @type {Map<number, number>} */
  const votes = new Map();
  for (const { data, at } of some) {
    const place = places.get(key(data)) ?? null;
    if (place === null) continue;
    const count = (votes.get(place - at) ?? 0) + 1;
    if (count === ENOUGH) return place - at;
    votes.set(place - at, count);
  }
  return null;
}

/** @param {Uint8Array} data */
function key(data) {
  return String.fromCharCode(...data);
}
