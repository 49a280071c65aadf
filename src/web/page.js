// The listening page: the list of microphones, and one instrument for the one that is heard.

import { ask } from "./view/login-dialog.js";
import { PlayerPanel } from "./view/player-panel.js";
import { MicrophoneList } from "./view/microphone-list.js";
import { Listening } from "./model/listening.js";
import { recall, remember } from "./model/preferences.js";
import { absent, Mounts } from "./model/mounts.js";
import { announce } from "./view/media-session.js";
import { ShareDialog } from "./view/share-dialog.js";
import { overview } from "./model/messages.js";

const part = (id) => document.getElementById(id);

const mounts = new Mounts("api/v1/events");
const listening = new Listening(mounts);
const panel = new PlayerPanel(part("main"), listening, mounts);
const list = new MicrophoneList(part("list"), part("nobody"), mounts, listening, play);
const sharing = new ShareDialog(part("sharing"));
ask(part("asking"), listening);
announce(listening, { play: () => panel.chosen && play(panel.chosen), step });

// An address that names a microphone means this one, on the air or not; what was heard last is a
// suggestion only.
const named = new URLSearchParams(location.search).get("mount");
const wanted = named ?? recall("mount", "");
let touched = false;

function play(mount) {
  touched = true;
  panel.choose(mount);
  remember("mount", mount.name);
  listening.listen(mount);
}

function step(by) {
  const all = [...mounts.all.values()];
  const at = all.findIndex(({ name }) => name === panel.chosen?.name);
  if (all.length > 0) play(all[(at + by + all.length) % all.length]);
}

/** What is chosen while nobody has chosen: it follows what is on the air. */
function choose() {
  const { chosen } = panel;
  const { all } = mounts;
  const stays = touched && (all.has(chosen.name) || listening.state !== "idle");
  if (stays) panel.choose(all.get(chosen.name) ?? chosen);
  else panel.choose(all.get(wanted) ?? (named ? absent(named) : all.values().next().value ?? null));
}

mounts.addEventListener("change", () => {
  choose();
  list.show(panel.chosen);
  const text = overview(mounts);
  if (part("overview").textContent !== text) part("overview").textContent = text;
  part("share").disabled = !panel.chosen;
});
listening.addEventListener("change", () => list.show(panel.chosen));
part("share").addEventListener("click", () => sharing.open(panel.chosen));
