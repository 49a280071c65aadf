// @ts-check
// What the system shows of the page on a lock screen or a headset: the microphone, and buttons to stop and to switch.

import { say } from "../model/language.js";
import { title } from "../model/mounts.js";

/**
 * @param {import("../model/listening.js").Listening} listening
 * @param {{ play: () => void, step: (by: number) => void, again: () => void }} actions `step` switches to a microphone further down
 *   the list, and `again` plays the last seconds again.
 */
export function followMediaSession(listening, { play, step, again }) {
  const { mediaSession: session } = navigator;
  if (!session) return;
  /**
   * @param {MediaSessionAction} action
   * @param {() => void} work
   */
  const on = (action, work) => {
    try {
      session.setActionHandler(action, work);
    } catch {
      // This browser does not know the action.
    }
  };
  on("play", play);
  on("pause", () => listening.stop());
  on("stop", () => listening.stop());
  on("nexttrack", () => step(1));
  on("previoustrack", () => step(-1));
  on("seekbackward", again);
  on("seekforward", () => listening.toLive());
  listening.addEventListener("change", () => {
    const { mount, silent } = listening;
    session.playbackState = silent ? "paused" : "playing";
    if (!mount) return;
    session.metadata = new MediaMetadata({
      title: title(mount),
      artist: mount.title ?? mount.description ?? say("Live", "Live"),
      album: location.hostname,
      artwork: [{ src: new URL("web/icon.svg", location.href).href, type: "image/svg+xml" }],
    });
  });
}
