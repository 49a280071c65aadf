// @ts-check
// What detectors have heard: boxes in the picture, and a list in which each can be heard and saved.

import { RATE } from "../model/columns.js";
import { nameOf } from "../model/detections.js";
import { say } from "../model/language.js";
import { moment } from "../model/messages.js";
import { save } from "./dom.js";
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
  const items = detections.map((detection) => {
    const item = document.createElement("li");
    const name = document.createElement("b");
    const start = Date.parse(detection.start);
    name.textContent = nameOf(detection);
    item.append(name, ` ${moment(start)} · ${Math.round(detection.confidence * 100)} % `);
    const { clip } = detection;
    if (clip && mount) {
      const sound = () => listening.memory(mount).file(clip.slice(clip.indexOf("?") + 1));
      item.append(
        button(say("Play", "Hören"), async () => {
          const [mark] = listening.mount?.name === mount.name && !listening.silent ? marks([detection], listening.picture) : [];
          if (mark) {
            listening.playAgain(mark.from, mark.to, mark);
            return;
          }
          const file = await sound();
          if (file) await new Audio(URL.createObjectURL(file)).play();
        }),
        button(say("Save", "Sichern"), async () => {
          const file = await sound();
          if (file) save(file, fileName(nameOf(detection), new Date(start), "opus"));
        }),
      );
    }
    return item;
  });
  section.querySelector("ul")?.replaceChildren(...items);
}

/**
 * @param {string} text
 * @param {() => Promise<void>} work
 */
function button(text, work) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", () => work().catch(() => {}));
  return made;
}
