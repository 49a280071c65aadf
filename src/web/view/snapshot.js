// @ts-check
// The spectrogram as a file, with its axes, the microphone's name and the time.

import { moment, zone } from "../model/messages.js";
import { save } from "./dom.js";

const HEAD = 34;

/**
 * Downloads a PNG of what is shown.
 *
 * @param {import("./spectrogram.js").Spectrogram} spectrogram
 * @param {string} name The microphone's.
 */
export async function saveSnapshot({ canvas, wall, view }, name) {
  const style = getComputedStyle(canvas);
  const ratio = canvas.width / canvas.clientWidth;
  const picture = document.createElement("canvas");
  picture.width = canvas.width;
  picture.height = canvas.height + HEAD * ratio;
  const context = picture.getContext("2d");
  if (!context || !canvas.parentElement) return;
  context.fillStyle = getComputedStyle(canvas.parentElement).backgroundColor;
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(canvas, 0, HEAD * ratio);
  context.scale(ratio, ratio);
  context.fillStyle = style.color;
  context.font = `600 14px ${style.fontFamily}`;
  context.textBaseline = "middle";
  // A picture whose time is not known has none.
  const begin = wall === null ? null : new Date(wall - view.span * 1000);
  const when = begin && wall !== null ? [moment(begin.getTime(), true), zone(wall), begin.toISOString()] : [];
  context.fillText([name, ...when].join(" · "), 12, HEAD / 2 + 3);

  /** @type {Blob | null} */
  const blob = await new Promise((resolve) => {
    picture.toBlob(resolve, "image/png");
  });
  if (blob) save(blob, fileName(name, begin, "png"));
}

/**
 * The name of a file that begins at this time.
 *
 * @param {string} name The microphone's.
 * @param {Date | null} begin
 * @param {string} extension
 */
export function fileName(name, begin, extension) {
  const stamp = begin ? `-${begin.toISOString().slice(0, 19).replaceAll(":", "-")}Z` : "";
  return `${name.replace(/[^\p{L}\p{N}_.-]+/gu, "-")}${stamp}.${extension}`;
}
