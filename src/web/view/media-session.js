// What the system shows of it, on a lock screen or a headset: which microphone, and a way to stop and to switch.

import { title } from "../model/mounts.js";

export function announce(listening, { play, step }) {
  const { mediaSession: session } = navigator;
  if (!session) return;
  const on = (action, work) => {
    try {
      session.setActionHandler(action, work);
    } catch {
      // An action that this browser does not know.
    }
  };
  on("play", play);
  on("pause", () => listening.stop());
  on("stop", () => listening.stop());
  on("nexttrack", () => step(1));
  on("previoustrack", () => step(-1));
  listening.addEventListener("change", () => {
    const { mount, state } = listening;
    session.playbackState = state === "idle" ? "paused" : "playing";
    if (!mount) return;
    session.metadata = new MediaMetadata({
      title: title(mount),
      artist: mount.title ?? mount.description ?? "Live",
      album: location.hostname,
      artwork: [{ src: new URL("web/icon.svg", location.href).href, type: "image/svg+xml" }],
    });
  });
}
