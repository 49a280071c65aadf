// @ts-check
// The states of listening: what each of them says to a person, and what can be done in it.

import { UNANSWERED } from "./messages.js";

/**
 * @typedef {object} StateInfo
 * @property {(name: string) => string} message About the microphone of this name.
 * @property {"none" | "neutral" | "good" | "warning" | "error"} tone How the message is marked.
 * @property {"listen" | "stop"} action What the play button does. With `listen`, nothing is played, and nothing will be
 *   without a click.
 * @property {boolean} sounds Whether something may be heard, so that the spectrogram moves.
 * @property {boolean} retries Whether it is waiting to connect again.
 * @property {"password" | "token" | null} asks What the person is asked for.
 */

/** @type {Pick<StateInfo, "sounds" | "retries" | "asks">} */
const QUIET = { sounds: false, retries: false, asks: null };

const TABLE = /** @satisfies {Record<string, StateInfo>} */ ({
  idle: { ...QUIET, tone: "none", action: "listen", message: () => "" },
  connecting: { ...QUIET, tone: "neutral", action: "stop", message: (name) => `Connecting to ${name} …` },
  // No answer has come for a while.
  unanswered: { ...QUIET, tone: "warning", action: "stop", message: () => UNANSWERED },
  // By pages of this browser.
  crowded: {
    ...QUIET, retries: true, tone: "warning", action: "stop",
    message: () => "Five other tabs of this browser listen to this server, and a browser opens no more connections. " +
      "Stop one of them, and this one begins.",
  },
  playing: { ...QUIET, sounds: true, tone: "good", action: "stop", message: () => "Live" },
  // The buffer ran dry.
  waiting: { ...QUIET, sounds: true, tone: "warning", action: "stop", message: () => "Buffering …" },
  lost: {
    ...QUIET, sounds: true, retries: true, tone: "warning", action: "stop",
    message: () => "The connection was lost. Reconnecting …",
  },
  absent: {
    ...QUIET, sounds: true, retries: true, tone: "warning", action: "stop",
    message: (name) => `${name} is not on the air. Playback resumes when it is back.`,
  },
  full: {
    ...QUIET, retries: true, tone: "neutral", action: "stop",
    message: () => "All listener slots are taken. Trying again shortly …",
  },
  "rate-limited": {
    ...QUIET, retries: true, tone: "neutral", action: "stop",
    message: () => "The server limits connections from this address. Trying again shortly …",
  },
  password: {
    ...QUIET, asks: "password", tone: "neutral", action: "stop",
    message: (name) => `${name} is protected by a password.`,
  },
  token: {
    ...QUIET, asks: "token", tone: "neutral", action: "stop",
    message: (name) => `${name} requires an access token.`,
  },
  closed: {
    ...QUIET, tone: "error", action: "listen",
    message: (name) => `${name} is closed to listeners.`,
  },
  removed: {
    ...QUIET, tone: "error", action: "listen",
    message: (name) => `An administrator has disconnected you from ${name}. You may listen again in a minute.`,
  },
  // By the browser, until there is a click.
  blocked: {
    ...QUIET, tone: "neutral", action: "listen",
    message: () => "The browser blocked playback. Click Listen again.",
  },
  broken: {
    ...QUIET, tone: "error", action: "listen",
    message: () => "This browser cannot play the stream.",
  },
});

/** @typedef {keyof typeof TABLE} State */

/** @type {Readonly<Record<State, StateInfo>>} */
export const STATES = TABLE;
