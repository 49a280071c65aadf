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
 * @property {string | null} hls The URL of its playlist.
 * @property {string} whep That of its WHEP endpoint.
 * @property {{ headers: Record<string, string>, credentials: RequestCredentials }} options
 * @property {{ user: string, password: string } | null} login What `options` have, for a request that takes none.
 */

/**
 * What a microphone is played with.
 *
 * @typedef {object} Means
 * @property {import("../media/sound.js").Sound} sound
 * @property {import("./stream-picture.js").StreamPicture} picture Takes the packets, where there are some.
 * @property {import("./past.js").Memory} memory
 * @property {import("./clock.js").LiveClock} clock
 */

/** @typedef {import("./stream-picture.js").StreamPicture | import("./playback-picture.js").PlaybackPicture} Picture */

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
 * @property {Picture} picture
 * @property {(clock: import("./clock.js").LiveClock, now: number) => number | null} edge The step of the picture that is
 *   heard, with its fraction, or null if that is not known.
 * @property {() => void} toLive Skips what has not been played yet.
 * @property {() => unknown} close
 */

/**
 * What matters more to a person: that the sound is as near to live as possible, that the picture shows every packet, or
 * that a phone plays on when its screen is off, which only the browser's own player does.
 *
 * @typedef {"sound" | "picture" | "screen-off"} Preference
 */

/** @type {readonly Preference[]} */
export const PREFERENCES = ["sound", "picture", "screen-off"];

/**
 * How the microphone is heard.
 *
 * @typedef {object} How
 * @property {Kind} kind
 * @property {boolean} showsPackets Whether the picture is made of the packets, and not of what a browser made of them.
 * @property {boolean} isChosen Whether a person has chosen the browser's own player.
 * @property {import("../media/whep.js").Obstacle | null} obstacle Why it is not WebRTC although that is preferred.
 */

/**
 * @param {Kind} kind
 * @param {Means} means
 * @returns {Delivery}
 */
export function deliver(kind, means) {
  return new DELIVERIES[kind](means);
}
