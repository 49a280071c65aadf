// @ts-check
// A clip: a part of what the server still has in memory, as a finished file.

import { Pages } from "./ogg.js";
import { readComments, readHead, samples } from "./opus.js";

/**
 * A time in which the source sent nothing, from and until when, as Unix time in milliseconds.
 *
 * @typedef {{ from: number, to: number }} Gap
 */

/**
 * The packets of a clip, in order, when its first sample was recorded, as Unix time in milliseconds, and where silence
 * takes the place of what was not sent.
 *
 * @typedef {{ head: import("./opus.js").Head, packets: import("./opus.js").Packet[], date: number, gaps: Gap[] }} Clip
 */

/**
 * @param {import("./bytes.js").Bytes} file
 * @returns {Clip | null}
 */
export function readClip(file) {
  const [first, second, ...rest] = new Pages().push(file);
  const head = first && readHead(first.packets[0] ?? new Uint8Array(0));
  // They say times to the millisecond.
  const comments = readComments(second?.packets[0] ?? new Uint8Array(0));
  const all = (/** @type {string} */ name) => comments.filter((one) => one.startsWith(name)).map((one) => one.slice(name.length));
  const date = Date.parse(all("DATE=")[0] ?? "");
  const gaps = all("GAP=").map((gap) => {
    const [from = NaN, to = NaN] = gap.split("/").map(Date.parse);
    return { from, to };
  });
  if (!head || Number.isNaN(date)) return null;
  // A stream of another format may follow, which is not shown.
  const next = rest.findIndex((page) => page.first);
  const pages = next === -1 ? rest : rest.slice(0, next);
  const packets = pages.flatMap((page) => page.packets).map((data) => ({ data, samples: samples(data) }));
  return { head, packets: packets.filter((packet) => packet.samples > 0), date, gaps };
}
