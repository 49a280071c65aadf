// @ts-check
// What the page says about microphones, and how it writes figures and times.

import { decimal, say } from "./language.js";

/** @typedef {import("./mounts.js").Mount} Mount */

/** @type {Intl.DateTimeFormatOptions} */
const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
// To make one takes longer than to write a hundred times with it.
const TIMES = new Intl.DateTimeFormat(undefined, TIME);

/** How a microphone is heard. */
const DELIVERIES = {
  stream: say("Live", "Live"),
  // Where the page cannot take the stream apart itself.
  element: say(
    "Playing a few seconds behind live: for this stream, the browser can only use its built-in player.",
    "Einige Sekunden hinter live: Für diesen Stream hat der Browser nur seinen eingebauten Player.",
  ),
  webrtc: say(
    "Live by WebRTC. The picture shows what the browser plays, which fills in what was lost.",
    "Live über WebRTC. Das Bild zeigt, was der Browser spielt; er füllt auf, was verloren ging.",
  ),
};
const SHOWS_PACKETS = say(
  "Live by WebRTC. The picture shows every packet that came.",
  "Live über WebRTC. Das Bild zeigt jedes Paket, das ankam.",
);
const PLAYS_ON = say(
  "Playing a few seconds behind live, also with the screen off: by the browser's built-in player.",
  "Einige Sekunden hinter live, auch bei ausgeschaltetem Bildschirm: mit dem eingebauten Player des Browsers.",
);
/** Why it is not heard by WebRTC. */
const OBSTACLES = {
  refused: say("Live by the stream: the server refused WebRTC.", "Live über den Stream: Der Server hat WebRTC abgelehnt."),
  unanswered: say(
    "Live by the stream: the server did not answer about WebRTC.",
    "Live über den Stream: Der Server hat wegen WebRTC nicht geantwortet.",
  ),
  unsupported: say("Live by the stream: this browser could not play WebRTC.", "Live über den Stream: Dieser Browser konnte WebRTC nicht spielen."),
  unconnected: say("Live by the stream: WebRTC found no way to the server.", "Live über den Stream: WebRTC fand keinen Weg zum Server."),
  silent: say("Live by the stream: WebRTC brought no more audio.", "Live über den Stream: Über WebRTC kam kein Ton mehr."),
};

/** What to think of when a request is not answered. */
export const UNANSWERED = say(
  "The server has not answered yet. A browser opens six connections to one server: other tabs may have all of them.",
  "Der Server hat noch nicht geantwortet. Ein Browser öffnet sechs Verbindungen zu einem Server: Vielleicht haben andere Tabs sie alle.",
);

/**
 * How a microphone is heard.
 *
 * @param {import("./delivery.js").How} how
 * @returns {string}
 */
export function delivery({ kind, showsPackets, isChosen, obstacle }) {
  if (isChosen) return PLAYS_ON;
  if (showsPackets) return SHOWS_PACKETS;
  return kind === "stream" && obstacle ? OBSTACLES[obstacle] : DELIVERIES[kind];
}

/**
 * @param {Mount} mount
 * @returns {string}
 */
export function gapMessage(mount) {
  const time = mount.state_since ? clock(Date.parse(mount.state_since)) : "";
  return say(
    `No signal from the recorder${time && ` since ${time}`}. You hear silence until it returns.`,
    `Kein Signal vom Rekorder${time && ` seit ${time}`}. Sie hören Stille, bis es wiederkommt.`,
  );
}

/**
 * The state of the server and of all microphones.
 *
 * @param {{ all: ReadonlyMap<string, Mount>, online: boolean | null, isLate?: boolean }} mounts
 * @returns {string}
 */
export function overview(mounts) {
  if (mounts.online === null) return mounts.isLate ? UNANSWERED : say("Looking for microphones …", "Sucht Mikrofone …");
  if (!mounts.online) return say("The server does not respond. Trying again …", "Der Server antwortet nicht. Neuer Versuch …");
  const count = mounts.all.size;
  if (count === 0) return say(
    "No microphone is on the air. New ones appear here automatically.",
    "Kein Mikrofon ist auf Sendung. Neue erscheinen hier von selbst.",
  );
  return count === 1
    ? say("1 microphone on the air", "1 Mikrofon auf Sendung")
    : say(`${count} microphones on the air`, `${count} Mikrofone auf Sendung`);
}

/** What a listener needs. */
export const ACCESS = {
  public: "",
  password: say("password", "Passwort"),
  token: say("token", "Zugangsschlüssel"),
  closed: say("closed", "geschlossen"),
};

/**
 * How far behind live, in seconds.
 *
 * @param {number} seconds
 * @returns {string}
 */
export function behind(seconds) {
  return seconds < 10 ? `${decimal(seconds, 1)} s` : `${Math.round(seconds)} s`;
}

/**
 * A time of day in the person's time zone.
 *
 * @param {number} time Unix time in milliseconds.
 * @returns {string}
 */
export function clock(time) {
  return TIMES.format(time);
}

/**
 * The person's time zone at a time, as its difference from UTC.
 *
 * @param {number} time Unix time in milliseconds.
 * @returns {string}
 */
export function zone(time) {
  const minutes = -new Date(time).getTimezoneOffset();
  if (minutes === 0) return "UTC";
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? "−" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}

/**
 * A time in the person's time zone, with its date unless it is less than half a day ago.
 *
 * @param {number} time Unix time in milliseconds.
 * @param {boolean} isDated Whether the date is wanted in any case.
 * @returns {string}
 */
export function moment(time, isDated = false) {
  if (!isDated && Math.abs(Date.now() - time) < 43_200_000) return clock(time);
  const day = new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: isDated ? "numeric" : undefined });
  return `${day}, ${clock(time)}`;
}

/**
 * How long ago something was.
 *
 * @param {number} seconds
 * @returns {string}
 */
export function ago(seconds) {
  return seconds < 0.1 ? say("live", "live") : say(`${decimal(seconds, 1)} s ago`, `vor ${decimal(seconds, 1)} s`);
}

/**
 * What a microphone sends, in short.
 *
 * @param {Mount} mount
 * @returns {string}
 */
export function format(mount) {
  const parts = [mount.codec];
  if (mount.bitrate) parts.push(`${Math.round(mount.bitrate / 1000)} kbit/s`);
  const { channels = 1 } = mount;
  if (channels > 1) parts.push(channels === 2 ? say("stereo", "stereo") : say(`${channels} channels`, `${channels} Kanäle`));
  return parts.join(" · ");
}
