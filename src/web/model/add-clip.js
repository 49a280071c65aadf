// @ts-check
// Adds a clip to a picture: decodes it in small parts, as what is heard comes first.

import { decoder } from "../media/decoder.js";
import { totalSamples } from "../media/opus.js";
import { STEP, Steps } from "./steps.js";

// So many packets are decoded at a time.
const PORTION = 20;

/**
 * Resolves when all of it was added.
 *
 * @param {import("./columns.js").Columns} columns
 * @param {import("../media/clip.js").Clip} clip
 * @param {number} granule Of its first sample that is heard.
 * @param {number} step Samples of a step of the picture.
 */
export async function addClip(columns, { head, packets, date, gaps }, granule, step = STEP) {
  const stepOf = (/** @type {number} */ time) => Math.round((granule + (time - date) * 48) / step);
  for (const { from, to } of gaps) columns.absent(stepOf(from), stepOf(to));
  const steps = new Steps(columns, step);
  const past = decoder(head, (samples, begin) => {
    // What precedes only prepares the decoder.
    const heard = begin >= granule ? samples : samples.subarray(Math.min(samples.length, granule - begin));
    steps.add(heard, Math.max(begin, granule));
  });
  let at = granule - head.preSkip;
  for (let first = 0; first < packets.length; first += PORTION) {
    const portion = packets.slice(first, first + PORTION);
    past.packets(portion, at);
    at += totalSamples(portion);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await past.flush();
  past.close();
}
