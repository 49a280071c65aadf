// @ts-check
// What this browser can do and what its audio graph hears, as text to paste into a report (`?probe`).

import { TYPE, canPlay } from "../media/container.js";
import { say } from "../model/language.js";

const TYPES = ['audio/mp4; codecs="opus"', 'audio/mp4; codecs="Opus"', 'audio/webm; codecs="opus"', 'audio/ogg; codecs="opus"', "application/vnd.apple.mpegurl"];
/** Between two looks, in milliseconds. */
const INTERVAL = 1_000;

/** @typedef {import("../model/listening.js").Listening} Listening */

/**
 * Shows the report below the page, and keeps it up to date.
 *
 * @param {Listening} listening
 */
export function showProbe(listening) {
  const text = document.createElement("pre");
  text.id = "probe";
  const about = document.createElement("p");
  about.textContent = say(
    "Listen to a microphone for some seconds, then copy this into your report:",
    "Hören Sie einige Sekunden ein Mikrofon an, und kopieren Sie dies dann in Ihren Bericht:",
  );
  const section = document.createElement("section");
  section.className = "probe";
  section.append(about, text);
  document.body.append(section);
  const seen = { graph: 0, packets: 0 };
  setInterval(() => {
    const { sound, picture } = listening;
    const step = listening.edge(performance.now());
    const packets = picture && step !== null ? picture.columns.peak(Math.floor(step)) : 0;
    if (sound && !sound.isZero) seen.graph += 1;
    if (packets > 0) seen.packets += 1;
    text.textContent = [...abilities(), ...hearing(listening, seen)].join("\n");
  }, INTERVAL);
}

/** @returns {string[]} */
function abilities() {
  const element = document.createElement("audio");
  const source = [globalThis.MediaSource && "MediaSource", "ManagedMediaSource" in globalThis && "ManagedMediaSource"];
  const types = TYPES.map((type) => {
    const isSource = globalThis.MediaSource?.isTypeSupported(type) ? "MSE" : "";
    return `${type}: ${[isSource, element.canPlayType(type) && `element ${element.canPlayType(type)}`].filter(Boolean).join(", ") || "no"}`;
  });
  const has = ["AudioDecoder", "RTCPeerConnection", "SharedWorker", "AudioContext", "RTCRtpScriptTransform", "serviceWorker", "mediaSession", "audioSession"];
  const found = has.filter((name) => name in globalThis || name in navigator);
  return [
    navigator.userAgent,
    `${location.protocol} secure=${isSecureContext} languages=${navigator.languages.join()} screen=${innerWidth}x${innerHeight}@${devicePixelRatio}`,
    `sources: ${source.filter(Boolean).join(", ") || "none"}; used: ${canPlay ? TYPE : "none"}`,
    ...types,
    `has: ${found.join(", ")}`,
  ];
}

/**
 * @param {Listening} listening
 * @param {{ graph: number, packets: number }} seen In how many seconds either had a sound.
 */
function hearing(listening, { graph, packets }) {
  const { state, how, sound } = listening;
  const behind = listening.behind();
  return [
    `state: ${state}, by ${how.kind}${how.obstacle ? ` (WebRTC: ${how.obstacle})` : ""}, behind ${behind === null ? "?" : behind.toFixed(2)} s`,
    `sound: ${sound ? `${sound.isDirect ? "element alone" : "audio graph"}, ${sound.rate} Hz` : "none"}`,
    `seconds with sound: ${packets} in the packets, ${graph} in the audio graph`,
  ];
}
