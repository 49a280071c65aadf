// What the page says, in one place: each state as a plain sentence.

import { title } from "./mounts.js";

const IN_ITS_OWN_WAY = "this browser plays this stream in its own way only.";
const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };

/** What is the matter with what is being heard. */
export function sentence(listening, mount) {
  const name = listening.mount ? title(listening.mount) : "";
  switch (listening.state) {
    case "idle":
      if (mount?.state === "absent") return `${title(mount)} is not on the air.`;
      return mount?.state === "gap" ? gap(mount) : "";
    case "connecting":
      return `Connecting to ${name} …`;
    case "playing":
      if (mount?.state === "gap") return gap(mount);
      if (listening.plain) return `Playing, some seconds behind live: ${IN_ITS_OWN_WAY}`;
      return "Live";
    case "waiting":
      return "Waiting for more sound …";
    case "lost":
      return "The connection was lost. Reconnecting …";
    case "absent":
      return `${name} is not on the air. It will play as soon as it is back.`;
    case "full":
      return "All seats are taken. Trying again shortly …";
    case "patience":
      return "Too many wrong answers came from here. Trying again in a minute …";
    case "password":
      return `${name} is protected by a password.`;
    case "token":
      return `${name} is open to those with a token.`;
    case "closed":
      return `${name} is closed to you.`;
    case "blocked":
      return "The browser wants another click before it plays sound.";
    default:
      return "This browser could not play the stream.";
  }
}

function gap(mount) {
  return `Nothing comes from the recorder since ${clock(mount.state_since)}; you hear silence until it is back.`;
}

/** How things are with all of them. */
export function overview(mounts) {
  if (mounts.online === null) return "Looking for microphones …";
  if (!mounts.online) return "The server does not answer. Trying again …";
  const count = mounts.all.size;
  if (count === 0) return "No microphone is on the air. One that starts appears here by itself.";
  return count === 1 ? "1 microphone on the air" : `${count} microphones on the air`;
}

export const ACCESS = {
  public: "",
  password: "password",
  token: "token",
  closed: "closed",
};

/** Seconds as people read them. */
export function behind(seconds) {
  if (seconds === null) return "–";
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/** A time of day where the person is. */
export function clock(time) {
  return new Date(time).toLocaleTimeString(undefined, TIME);
}

/** What a microphone sends, in short. */
export function format(mount) {
  const parts = [mount.codec];
  if (mount.bitrate) parts.push(`${Math.round(mount.bitrate / 1000)} kbit/s`);
  if (mount.channels > 1) parts.push(mount.channels === 2 ? "stereo" : `${mount.channels} channels`);
  return parts.join(" · ");
}
