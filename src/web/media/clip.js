// @ts-check
// A clip: a part of what the server still has in memory, as a finished file.

import { Pages } from "./ogg.js";
import { readHead, samples } from "./opus.js";

/**
 * The packets of a clip, in order, and when its first sample was recorded, as Unix time in milliseconds.
 *
 * @typedef {{ head: import("./opus.js").Head, packets: import("./opus.js").Packet[], date: number }} Clip
 */

/**
 * @param {import("./bytes.js").Bytes} file
 * @returns {Clip | null}
 */
export function readClip(file) {
  const [first, second, ...pages] = new Pages().push(file);
  const head = first && readHead(first.packets[0] ?? new Uint8Array(0));
  // The comment says it to the millisecond. Tags of many detections may extend over more pages.
  const tags = second && new TextDecoder().decode(second.packets[0]);
  const date = Date.parse(/DATE=([0-9T:.Z-]+)/.exec(tags ?? "")?.[1] ?? "");
  if (!head || Number.isNaN(date)) return null;
  const packets = pages.flatMap((page) => page.packets).map((data) => ({ data, samples: samples(data) }));
  return { head, packets: packets.filter((packet) => packet.samples > 0), date };
}
