// @ts-check
// The states of listening: what each of them says to a person, and what can be done in it.

import { say } from "./language.js";
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
  connecting: { ...QUIET, tone: "neutral", action: "stop", message: (name) => say(`Connecting to ${name} …`, `Verbindet mit ${name} …`) },
  // No answer has come for a while.
  unanswered: { ...QUIET, tone: "warning", action: "stop", message: () => UNANSWERED },
  // By pages of this browser.
  crowded: {
    ...QUIET, retries: true, tone: "warning", action: "stop",
    message: () => say(
      "Five other tabs of this browser listen to this server, and a browser opens no more connections. " +
        "Stop one of them, and this one begins.",
      "Fünf andere Tabs dieses Browsers hören diesem Server zu, und mehr Verbindungen öffnet ein Browser nicht. " +
        "Halten Sie einen davon an, dann beginnt dieser.",
    ),
  },
  playing: { ...QUIET, sounds: true, tone: "good", action: "stop", message: () => say("Live", "Live") },
  // The buffer ran dry.
  waiting: { ...QUIET, sounds: true, tone: "warning", action: "stop", message: () => say("Buffering …", "Puffert …") },
  lost: {
    ...QUIET, sounds: true, retries: true, tone: "warning", action: "stop",
    message: () => say("The connection was lost. Reconnecting …", "Die Verbindung ist abgerissen. Verbindet neu …"),
  },
  absent: {
    ...QUIET, sounds: true, retries: true, tone: "warning", action: "stop",
    message: (name) => say(
      `${name} is not on the air. Playback resumes when it is back.`,
      `${name} ist nicht auf Sendung. Es geht weiter, sobald es zurück ist.`,
    ),
  },
  full: {
    ...QUIET, retries: true, tone: "neutral", action: "stop",
    message: () => say("All listener slots are taken. Trying again shortly …", "Alle Plätze sind besetzt. Gleich ein neuer Versuch …"),
  },
  "rate-limited": {
    ...QUIET, retries: true, tone: "neutral", action: "stop",
    message: () => say(
      "The server limits connections from this address. Trying again shortly …",
      "Der Server begrenzt die Verbindungen dieser Adresse. Gleich ein neuer Versuch …",
    ),
  },
  password: {
    ...QUIET, asks: "password", tone: "neutral", action: "stop",
    message: (name) => say(`${name} is protected by a password.`, `${name} ist durch ein Passwort geschützt.`),
  },
  token: {
    ...QUIET, asks: "token", tone: "neutral", action: "stop",
    message: (name) => say(`${name} requires an access token.`, `${name} verlangt einen Zugangsschlüssel.`),
  },
  closed: {
    ...QUIET, tone: "error", action: "listen",
    message: (name) => say(`${name} is closed to listeners.`, `${name} ist für Hörer geschlossen.`),
  },
  removed: {
    ...QUIET, tone: "error", action: "listen",
    message: (name) => say(
      `An administrator has disconnected you from ${name}. You may listen again in a minute.`,
      `Ein Administrator hat Sie von ${name} getrennt. In einer Minute dürfen Sie wieder hören.`,
    ),
  },
  // By the browser, until there is a click.
  blocked: {
    ...QUIET, tone: "neutral", action: "listen",
    message: () => say("The browser blocked playback. Click Listen again.", "Der Browser hat die Wiedergabe verhindert. Klicken Sie noch einmal auf Anhören."),
  },
  broken: {
    ...QUIET, tone: "error", action: "listen",
    message: () => say("This browser cannot play the stream.", "Dieser Browser kann den Stream nicht spielen."),
  },
});

/** @typedef {keyof typeof TABLE} State */

/** @type {Readonly<Record<State, StateInfo>>} */
export const STATES = TABLE;
