// @ts-check
// What the player panel says and offers. Pure, so that every order of events can be tried without a browser.

import { hasWebRtc } from "../media/whep.js";
import { say } from "./language.js";
import { delivery, gapMessage, overview } from "./messages.js";
import { title } from "./mounts.js";
import { STATES } from "./states.js";

/**
 * @typedef {import("./mounts.js").Mount} Mount
 * @typedef {import("./states.js").State} State
 */

/**
 * @typedef {object} Panel
 * @property {Mount | null} mount The microphone that it is about.
 * @property {string} name
 * @property {string} about
 * @property {string} message
 * @property {import("./states.js").StateInfo["tone"]} tone
 * @property {import("./states.js").StateInfo["action"]} action
 * @property {boolean} enabled Whether the play button can be pressed.
 * @property {boolean} offersWebRtc Whether a person can choose between WebRTC and the stream.
 */

/**
 * @param {{ state: State, mount: Mount | null, how: import("./delivery.js").How }} listening
 * @param {Mount | null} chosen
 * @param {{ all: ReadonlyMap<string, Mount>, online: boolean | null }} mounts
 * @returns {Panel}
 */
export function describe(listening, chosen, mounts) {
  const { message, tone, action } = STATES[listening.state];
  const mount = action === "listen" ? chosen : listening.mount;
  if (!mount) {
    // There is nothing to play: the message says why the button is disabled.
    return { mount: null, name: say("Listening", "Zuhören"), about: "", message: overview(mounts), tone: "none", action, enabled: false, offersWebRtc: false };
  }
  const known = mounts.all.get(mount.name) ?? mount;
  const panel = {
    mount: known,
    name: title(known),
    about: [known.title, known.description].filter(Boolean).join(" · ") || known.name,
    message: message(listening.mount ? title(listening.mount) : ""),
    tone,
    action,
    enabled: true,
    offersWebRtc: hasWebRtc && Boolean(known.webrtc),
  };
  switch (listening.state) {
    case "idle":
      if (known.state === "absent") panel.message = say(`${title(known)} is not on the air.`, `${title(known)} ist nicht auf Sendung.`);
      if (known.state === "gap") panel.message = gapMessage(known);
      break;
    case "playing":
      if (known.state === "gap") return { ...panel, message: gapMessage(known), tone: "warning" };
      panel.message = delivery(listening.how);
  }
  return panel;
}
