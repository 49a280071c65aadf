// @ts-check
// What detectors have heard: boxes in the picture, and a list in which each can be heard and saved.

import { RATE } from "../model/columns.js";
import { keyOf, nameOf } from "../model/detections.js";
import { say } from "../model/language.js";
import { moment } from "../model/messages.js";
import { find, save } from "./dom.js";
import { keep, keepParts } from "./keep.js";
import { fileName } from "./snapshot.js";

/**
 * @typedef {import("../model/detections.js").Detection} Detection
 * @typedef {import("../model/listening.js").Listening} Listening
 */

/**
 * Where detections are in a picture.
 *
 * @param {Detection[]} detections
 * @param {import("../model/delivery.js").Picture | null} picture
 * @returns {import("./spectrogram.js").Mark[]}
 */
export function marks(detections, picture) {
  const { end } = picture?.columns ?? { end: 0 };
  const time = picture?.time(end) ?? null;
  if (time === null) return [];
  const step = (/** @type {string} */ at) => end + ((Date.parse(at) - time) / 1000) * RATE;
  return detections.map((one) => ({
    from: step(one.start),
    to: step(one.end),
    low: one.low_frequency ?? 0,
    high: one.high_frequency ?? 24_000,
    label: nameOf(one),
  }));
}

/**
 * Fills the list.
 *
 * @param {HTMLElement} section
 * @param {Detection[]} detections
 * @param {Listening} listening
 * @param {import("../model/mounts.js").Mount | null} mount
 */
export function showDetections(section, detections, listening, mount) {
  section.hidden = detections.length === 0;
  const items = detections.map((detection) => ({ key: keyOf(detection), detection }));
  keep(find(section, "ul", HTMLElement), items, ({ detection }, item) => show(detection, item, listening, mount), () => "li");
}

/**
 * @param {Detection} detection
 * @param {HTMLElement} item
 * @param {Listening} listening
 * @param {import("../model/mounts.js").Mount | null} mount
 */
function show(detection, item, listening, mount) {
  const start = Date.parse(detection.start);
  /** @type {import("./keep.js").Action[]} */
  const actions = [];
  const { clip } = detection;
  if (clip && mount) {
    const sound = () => listening.memory(mount).file(clip.slice(clip.indexOf("?") + 1));
    const play = async () => {
      const [mark] = listening.mount?.name === mount.name && !listening.silent ? marks([detection], listening.picture) : [];
      if (mark) {
        listening.playAgain(mark.from, mark.to, mark);
        return;
      }
      const file = await sound();
      if (file) await new Audio(URL.createObjectURL(file)).play();
    };
    const keepFile = async () => {
      const file = await sound();
      if (file) save(file, fileName(nameOf(detection), new Date(start), "opus"));
    };
    actions.push(
      { label: say("Play", "Hören"), work: () => play().catch(() => {}) },
      { label: say("Save", "Sichern"), work: () => keepFile().catch(() => {}) },
    );
  }
  keepParts(item, [
    { key: "name", tag: "b", text: nameOf(detection) },
    { key: "when", tag: "span", text: ` ${moment(start)} · ${Math.round(detection.confidence * 100)} % ` },
    { key: "actions", tag: "span", actions },
  ]);
}
