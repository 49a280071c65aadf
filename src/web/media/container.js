// @ts-check
// In which container this browser takes Opus packets: MP4, or WebM.

import { join } from "./bytes.js";
import * as mp4 from "./mp4.js";
import * as webm from "./webm.js";

/** What a SourceBuffer belongs to; Safari on phones has only the managed one. */
export const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;

const possible = [mp4, webm].flatMap((made) => made.TYPES.map((type) => ({ made, type })));
const supported = possible.find(({ type }) => Source?.isTypeSupported(type));

/** Whether it takes them at all. */
export const canPlay = Boolean(supported);

/** How they are packed, and the name of that. */
export const { made: container, type: TYPE } = supported ?? possible[0];

/**
 * Packets as a file that an element plays. What only prepares the decoder is played too.
 *
 * @param {import("./opus.js").Head} head
 * @param {import("./opus.js").Packet[]} packets
 */
export function file(head, packets) {
  const bytes = join([container.init({ ...head, preSkip: 0 }), container.fragment(1, 0, packets)]);
  return new Blob([bytes], { type: TYPE });
}
