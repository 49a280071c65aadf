// @ts-check
// Holds the connection for events that all pages of this browser share, and counts the connections of their streams.
//
// When these leave only one or two free, the connection for events is not kept: it is made every few seconds, and
// closed when all is said. So there is always one for pages, files and clips.

import { KEEP } from "./model/events.js";

/**
 * @typedef {import("./model/events.js").Message} Message
 * @typedef {import("./model/events.js").Request} Request
 */

// Of the six connections, so many streams may have one.
const STREAMS = 5;
// With so many streams, events are asked for from time to time.
const CROWDED = 4;
// Between two such requests, in milliseconds.
const PAUSE = 3_000;
// After this time without a `keep`, a place is free again.
const FORGOTTEN = 5 * KEEP;
// So many events are kept for pages that come later; then the connection is made again, which begins with all there is.
const REMEMBERED = 500;
const TYPES = [
  "mounts", "up", "live", "gap", "title", "listeners", "wanted", "unwanted", "down", "gone", "detection", "clock", "time",
];

/** @type {Set<MessagePort>} */
const followers = new Set();
/**
 * Places by port and number, each with the time until which it is kept.
 *
 * @type {Map<MessagePort, Map<number, number>>}
 */
const places = new Map();
/** @type {EventSource | null} */
let source = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let pause;
/**
 * What has come since, and with, the last list of all mounts.
 *
 * @type {Message[]}
 */
let remembered = [];

/** @param {string} url */
function connect(url) {
  clearTimeout(pause);
  const present = new EventSource(url);
  source = present;
  for (const type of TYPES) {
    present.addEventListener(type, ({ data }) => {
      if (present !== source) return;
      const message = { type, data };
      if (type === "mounts") remembered = [];
      // A time is true only at the moment in which it comes.
      if (type !== "time") remembered.push(message);
      for (const port of followers) port.postMessage(message);
      // The first time follows what was before.
      if (type === "time" && (taken() >= CROWDED || remembered.length > REMEMBERED)) {
        present.close();
        pause = setTimeout(() => connect(url), taken() >= CROWDED ? PAUSE : 0);
      }
    });
  }
  present.addEventListener("error", () => {
    present.close();
    if (present !== source) return;
    end();
    for (const port of followers) port.postMessage({ type: "error", data: "" });
  });
}

function end() {
  clearTimeout(pause);
  source?.close();
  source = null;
  remembered = [];
}

/** How many places are taken. */
function taken() {
  const now = performance.now();
  let count = 0;
  for (const [port, held] of places) {
    for (const [place, until] of held) if (until < now) held.delete(place);
    if (held.size === 0) places.delete(port);
    count += held.size;
  }
  return count;
}

/**
 * @param {MessagePort} port
 * @param {number} place
 */
function keep(port, place) {
  const held = places.get(port) ?? new Map();
  held.set(place, performance.now() + FORGOTTEN);
  places.set(port, held);
}

/**
 * @param {MessagePort} port
 * @param {Request} request
 */
function take(port, request) {
  if ("follow" in request) {
    followers.add(port);
    for (const message of remembered) port.postMessage(message);
    if (!source) connect(request.follow);
  } else if ("leave" in request) {
    followers.delete(port);
    if (followers.size === 0) end();
  } else if ("want" in request) {
    const isFree = taken() < STREAMS;
    if (isFree) keep(port, request.want);
    port.postMessage({ place: request.want, isFree });
  } else if ("keep" in request) {
    keep(port, request.keep);
  } else {
    places.get(port)?.delete(request.release);
  }
}

addEventListener("connect", (/** @type {any} */ { ports: [port] }) => {
  port.addEventListener("message", (/** @type {MessageEvent<Request>} */ { data }) => take(port, data));
  port.start();
});
