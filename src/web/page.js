// @ts-check
// The listening page: the list of microphones, and the player panel for the one that is heard.

import { Choice, named } from "./model/choice.js";
import { Detections } from "./model/detections.js";
import { say, translate } from "./model/language.js";
import { Listening } from "./model/listening.js";
import { overview } from "./model/messages.js";
import { absent, Mounts, title } from "./model/mounts.js";
import { recall, remember } from "./model/preferences.js";
import { showDetections } from "./view/detection-list.js";
import { find, setText } from "./view/dom.js";
import { LoginDialog } from "./view/login-dialog.js";
import { followMediaSession } from "./view/media-session.js";
import { MicrophoneList } from "./view/microphone-list.js";
import { PlayerPanel } from "./view/player-panel.js";
import { showProbe } from "./view/probe.js";
import { pageAddress, ShareDialog } from "./view/share-dialog.js";
import { Shortcuts } from "./view/shortcuts.js";
import { Thumbnails } from "./view/thumbnails.js";

/** @typedef {import("./model/mounts.js").Mount} Mount */

const part = (/** @type {string} */ id) => find(document, `#${id}`, HTMLElement);

translate(document);
const mounts = new Mounts("api/v1/events");
const listening = new Listening(mounts, location.search);
const panel = new PlayerPanel(part("main"), listening, mounts);
const thumbnails = new Thumbnails(listening, mounts);
const list = new MicrophoneList(part("list"), part("empty"), mounts, listening, play, thumbnails);
const choice = new Choice(named(location.search), recall("mount", ""));
const shareDialog = new ShareDialog(find(document, "#sharing", HTMLDialogElement));
const share = find(document, "#share", HTMLButtonElement);
new LoginDialog(listening);
followMediaSession(listening, {
  play: () => {
    if (choice.mount) play(choice.mount);
  },
  step,
  again: () => panel.again(),
});
const shortcuts = new Shortcuts(find(document, "#keys", HTMLDialogElement), [
  { keys: [" ", "k"], shown: say("Space, K", "Leertaste, K"), does: say("Listen or stop", "Anhören oder anhalten"), work: () => panel.toggle() },
  { keys: ["m"], shown: "M", does: say("Mute", "Stumm"), work: () => panel.toggleMute() },
  { keys: ["n"], shown: "N", does: say("Next microphone", "Nächstes Mikrofon"), work: () => step(1) },
  { keys: ["p"], shown: "P", does: say("Previous microphone", "Voriges Mikrofon"), work: () => step(-1) },
  { keys: ["r"], shown: "R", does: say("Hear the last 10 seconds again", "Die letzten 10 Sekunden nochmal hören"), work: () => panel.again() },
  { keys: ["l"], shown: "L", does: say("Back to live", "Zurück zu live"), work: () => panel.toLive() },
  { keys: ["h"], shown: "H", does: say("Pause the picture", "Bild anhalten"), work: () => panel.togglePicture() },
  { keys: ["ArrowLeft"], shown: "←", does: say("Picture: a second back", "Bild: eine Sekunde zurück"), work: () => panel.move(-1) },
  { keys: ["ArrowRight"], shown: "→", does: say("Picture: a second forward", "Bild: eine Sekunde vor"), work: () => panel.move(1) },
  { keys: ["f"], shown: "F", does: say("Full screen", "Vollbild"), work: () => panel.toggleFullScreen() },
]);
if (new URLSearchParams(location.search).has("probe")) showProbe(listening);
// Where browsers allow it, the page opens when the server is away.
navigator.serviceWorker?.register("service-worker.js").catch(() => {});
find(document, "#help", HTMLButtonElement).addEventListener("click", () => shortcuts.open());

/** @param {Mount} mount */
function play(mount) {
  if (choice.mount?.name !== mount.name || !named(location.search)) {
    history.pushState(null, "", pageAddress(mount) + location.hash);
  }
  choose(mount);
  remember("mount", mount.name);
  listening.listen(mount);
}

/** @param {Mount} mount */
function choose(mount) {
  choice.pick(mount);
  detections.follow(mount.name);
  panel.choose(mount);
  list.show(mount);
}

const station = document.title.replace(/^.* · /, "");
function showTitle() {
  document.title = [choice.mount ? title(choice.mount) : say("Listen", "Zuhören"), station].join(" · ");
}

// Back and forward change the microphone, and what is heard.
addEventListener("popstate", () => {
  const name = named(location.search);
  const mount = name ? (mounts.choice(name) ?? absent(name)) : null;
  if (!mount) return;
  const { silent } = listening;
  choose(mount);
  if (!silent) listening.listen(mount);
  showTitle();
});

const wall = find(document, "#wall", HTMLButtonElement);
/** @param {boolean} on */
function showWall(on) {
  document.body.classList.toggle("wall", on);
  wall.setAttribute("aria-pressed", String(on));
  thumbnails.on = on;
}
showWall(location.hash === "#wall");
wall.addEventListener("click", () => {
  history.replaceState(null, "", location.pathname + location.search + (location.hash === "#wall" ? "" : "#wall"));
  showWall(location.hash === "#wall");
});
addEventListener("hashchange", () => showWall(location.hash === "#wall"));

/** @param {number} by */
function step(by) {
  const all = [...mounts.all.values()];
  const at = all.findIndex(({ name }) => name === choice.mount?.name);
  if (all.length > 0) play(all[(at + by + all.length) % all.length]);
}

const detections = new Detections(mounts);
detections.addEventListener("change", () => {
  panel.detections = detections.all;
  showDetections(part("detections"), detections.all, listening, choice.mount);
});

mounts.addEventListener("change", () => {
  choice.follow(mounts.all, listening.state !== "idle");
  panel.choose(choice.mount);
  list.show(choice.mount);
  setText(part("overview"), overview(mounts));
  showTitle();
  detections.follow(choice.mount?.name ?? null);
  share.disabled = !choice.mount;
});
listening.addEventListener("change", () => {
  list.show(choice.mount);
  showTitle();
});
share.addEventListener("click", () => {
  if (choice.mount) shareDialog.open(choice.mount);
});
