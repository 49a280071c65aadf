// @ts-check
// How a microphone's audio comes to be heard: by the stream, by WebRTC, or by the browser's own player for URLs.

import { ByElement } from "./by-element.js";
import { ByStream } from "./by-stream.js";
import { ByWebRtc } from "./by-webrtc.js";

const DELIVERIES = { stream: ByStream, webrtc: ByWebRtc, element: ByElement };

/** @typedef {keyof typeof DELIVERIES} Kind */

/**
 * Where the server has a microphone, and what it requires.
 *
 * @typedef {object} MountRequest
 * @property {string} stream The URL of the stream.
 * @property {string} clip That of what was before.
 * @property {string} whep That of its WHEP endpoint.
 * @property {{ headers: Record<string, string>, credentials: RequestCredentials }} options
 */

/**
 * What there is to be seen: columns, and the one that is heard, with its fraction; null if that is not known.
 *
 * @typedef {{ columns: import("./columns.js").Columns, edge: number | null }} View
 */

/**
 * One way to play a microphone.
 *
 * @typedef {object} Delivery
 * @property {Kind} kind
 * @property {(session: import("./session.js").Session, request: MountRequest, heard: (isHeard: boolean) => void)
 *   => Promise<never>} play Plays until it fails with what ended it. Calls `heard` when audio has arrived, and when that
 *   fails to come.
 * @property {(clock: import("./clock.js").LiveClock, now: number) => number | null} behind Seconds from the
 *   microphone's newest sample to the one that leaves the browser, or null if that is not known.
 * @property {(clock: import("./clock.js").LiveClock, now: number) => number | null} wall The microphone's wall clock at
 *   what is shown, as Unix time in milliseconds, or null if that is not known.
 * @property {(now: number) => View} see
 * @property {() => void} toLive Skips what has not been played yet.
 * @property {() => unknown} close
 */

/**
 * What matters more to a person: that the sound is as near to live as possible, or that the picture shows every packet.
 *
 * @typedef {"sound" | "picture"} Preference
 */

/**
 * How the microphone is heard.
 *
 * @typedef {object} How
 * @property {Kind} kind
 * @property {boolean} showsPackets Whether the picture is made of the packets, and not of what a browser made of them.
 * @property {import("../media/whep.js").Obstacle | null} obstacle Why it is not WebRTC although that is preferred.
 */

/**
 * @param {Kind} kind
 * @param {import("../media/sound.js").Sound} sound
 * @param {import("./clock.js").LiveClock} clock The microphone's.
 * @returns {Delivery}
 */
export function deliver(kind, sound, clock) {
  return new DELIVERIES[kind](sound, clock);
}
