// @ts-check
// Why a microphone is not heard: what the server says of it and what its log says last, as one sentence, and what to
// do about it.

import { duration, when } from "./state.js";

/**
 * @typedef {import("./state.js").StationState} StationState
 * @typedef {import("./state.js").LiveMount} LiveMount
 * @typedef {import("./state.js").OffMount} OffMount
 * @typedef {import("./state.js").Line} Line
 * @typedef {{ tone: "good" | "warning" | "error" | "none", verdict: string, advice: string, notes: string[] }} Diagnosis
 */

/** Requests by which an encoder begins to send. */
const SENDING = ["PUT", "SOURCE"];
const NOT_EXPECTED = " If it need not be on the air now, nothing is wrong: it is not marked as expected.";
/** How long a line says something about a microphone that is on the air, in milliseconds. */
const RECENT = 10 * 60_000;

/** What an encoder that was refused needs, by the status. */
const REMEDIES = new Map([
  ["401", "Give the Recorder the password of its [[mount]] if that has one, else source_password; the user is source."],
  ["403", "Raise [limits] sources if the station has more microphones, or correct what the sentence names."],
  ["409", "Let only one encoder send to this microphone: give the other one another name."],
  ["415", "Let the Recorder send Ogg. FFmpeg needs -c:a libopus -f ogg -content_type audio/ogg."],
  ["429", "Correct the password of the Recorder. It is let in by itself when the lockout is over."],
]);

/**
 * @param {LiveMount | OffMount} mount
 * @param {StationState} state
 * @param {number} now Unix time in milliseconds.
 * @returns {Diagnosis}
 */
export function diagnose(mount, state, now) {
  const lines = state.lines.filter((line) => isAbout(line, mount.name));
  return "bitrate" in mount ? ofLive(mount, lines, state, now) : ofSilent(mount, lines, state);
}

/**
 * Microphones that the server does not list, because nothing that was sent to them could be heard.
 *
 * @param {StationState} state
 * @returns {OffMount[]}
 */
export function unheardMounts(state) {
  const names = new Set([...state.mounts, ...state.off].map(({ name }) => name));
  /** @type {OffMount[]} */
  const unheard = [];
  for (const line of state.lines) {
    const name = line.event === "refused" ? line.fields.path : line.fields.mount;
    if (!name || names.has(name) || !ofLine(line, state)) continue;
    names.add(name);
    unheard.push({ name, station_name: null, state: "off", state_since: line.time, expected: false });
  }
  return unheard;
}

/**
 * @param {Line} line
 * @param {string} name
 */
function isAbout({ event, fields }, name) {
  return event === "refused" ? fields.path === name : fields.mount === name;
}

const isRefusedSource = (/** @type {Line} */ { event, fields }) =>
  event === "refused" && SENDING.includes(fields.method ?? "");

/**
 * @param {OffMount} mount
 * @param {Line[]} lines
 * @param {StationState} state
 * @returns {Diagnosis}
 */
function ofSilent(mount, lines, state) {
  const reason = lines.map((line) => ofLine(line, state)).find(Boolean);
  if (reason) return { tone: "error", ...reason, notes: [] };
  if (mount.state === "idle") {
    return { tone: "none", verdict: "Starts when somebody listens.", advice: "", notes: [] };
  }
  return {
    tone: mount.expected ? "error" : "warning",
    verdict: `No Recorder has connected since the server was started, ${when(state.server.started)}.`,
    advice:
      "Check that the Recorder is on and on the network, and that it sends to this server and this name. " +
      `No attempt has arrived, so no password has been tried yet.${mount.expected ? "" : NOT_EXPECTED}`,
    notes: [],
  };
}

/**
 * Why nobody sends, if this line says it.
 *
 * @param {Line} line
 * @param {StationState} state
 * @returns {{ verdict: string, advice: string } | null}
 */
function ofLine(line, state) {
  const { event, fields, time } = line;
  const explained = line.explanation ?? "";
  switch (event) {
    case "refused": {
      if (!isRefusedSource(line)) return null;
      const status = fields.status ?? "";
      const why = status === "401" ? "its password is wrong or missing." : fields.reason;
      return {
        verdict: `The Recorder at ${fields.client} was refused (${status}), ${when(time)}: ${why}`,
        advice: REMEDIES.get(status) ?? explained,
      };
    }
    case "lockout": {
      const locked = state.blocks.lockouts.find(({ address, kind }) => kind === "source" && address === fields.peer);
      const how = locked ? `is locked out for ${duration(locked.seconds_left)} more` : "was locked out";
      return {
        verdict: `The Recorder at ${fields.peer} ${how}: too many wrong passwords, ${when(time)}.`,
        advice: REMEDIES.get("429") ?? "",
      };
    }
    case "source-ended":
      return {
        verdict: `The Recorder at ${fields.peer} stopped sending, ${when(time)}: ${fields.reason}.`,
        advice: fields.reason?.includes("send Ogg")
          ? (REMEDIES.get("415") ?? "")
          : "Check its power, its network, and its own log. It connects again by itself when it can.",
      };
    case "source-conflict":
    case "source-lost":
    case "mount-failed":
    case "peer-failed":
    case "encoder-failed":
      return { verdict: `${line.subject ?? line.message}, ${when(time)}${fields.reason ? `: ${fields.reason}` : ""}.`, advice: explained };
    default:
      return null;
  }
}

/**
 * @param {LiveMount} mount
 * @param {Line[]} lines
 * @param {StationState} state
 * @param {number} now
 * @returns {Diagnosis}
 */
function ofLive(mount, lines, state, now) {
  const recent = lines.filter(({ time }) => now - Date.parse(time) < RECENT);
  const last = (/** @type {string} */ event) => recent.find((line) => line.event === event);
  const notes = notesOf(recent);
  if (mount.state === "gap") {
    const reason = recent.map((line) => ofLine(line, state)).find(Boolean);
    return {
      tone: "error",
      verdict: reason?.verdict ?? `The Recorder is connected and sends nothing since ${when(mount.state_since)}.`,
      advice:
        reason?.advice ??
        "Check the Recorder: its microphone, its encoder, its network. Listeners hear silence until it sends again.",
      notes,
    };
  }
  const conflict = last("source-conflict");
  if (conflict) {
    return {
      tone: "warning",
      verdict: `Several encoders compete for this microphone, last ${when(conflict.time)}: each one disconnects the other.`,
      advice: `${REMEDIES.get("409")} Connected lately: ${encoders(recent)}.`,
      notes,
    };
  }
  if (mount.access === "closed") {
    return {
      tone: "warning",
      verdict: "On the air, but nobody may listen: its access is closed.",
      advice: 'If that is not meant, set access = "public", "token" or "password" in its [[mount]], and reload.',
      notes,
    };
  }
  const damage = last("source-damage");
  if (damage) {
    return { tone: "warning", verdict: `Sends damaged audio, last ${when(damage.time)}.`, advice: damage.explanation ?? "", notes };
  }
  if (mount.max_listeners !== null && mount.listeners >= mount.max_listeners) {
    return {
      tone: "warning",
      verdict: `On the air, and full: ${mount.max_listeners} of ${mount.max_listeners} listeners.`,
      advice: "Raise max_listeners in its [[mount]], and reload.",
      notes,
    };
  }
  return { tone: "good", verdict: `On the air since ${when(mount.stream_start)}.`, advice: "", notes };
}

/**
 * The encoders that have connected, with their addresses.
 *
 * @param {Line[]} recent
 */
function encoders(recent) {
  const connected = recent.filter(({ event }) => event === "source-connected");
  return [...new Set(connected.map(({ fields }) => `${fields.agent ?? "an encoder"} at ${fields.client}`))].join(", ");
}

/**
 * What else is worth to know.
 *
 * @param {Line[]} recent
 * @returns {string[]}
 */
function notesOf(recent) {
  const notes = [];
  const refused = recent.find((line) => line.event === "refused" && !isRefusedSource(line));
  if (refused) {
    const { client, reason } = refused.fields;
    notes.push(`A listener at ${client} was refused, ${when(refused.time)}: ${reason}`);
  }
  const other = recent.find(isRefusedSource);
  if (other) notes.push(`Another encoder at ${other.fields.client} was refused, ${when(other.time)}: ${other.fields.reason}`);
  return notes;
}
