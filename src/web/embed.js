// The player for other people's pages: one microphone, its picture, and a way to the whole page.

import { ask } from "./view/login-dialog.js";
import { PlayerPanel } from "./view/player-panel.js";
import { Listening } from "./model/listening.js";
import { absent, Mounts, title } from "./model/mounts.js";
import { announce } from "./view/media-session.js";
import { pageAddress } from "./view/share-dialog.js";

const mounts = new Mounts("api/v1/events");
const listening = new Listening(mounts);
const panel = new PlayerPanel(document.getElementById("instrument"), listening, mounts);
ask(document.getElementById("asking"), listening);
announce(listening, { play: () => listening.listen(panel.chosen), step: () => {} });

const wanted = new URLSearchParams(location.search).get("mount");

mounts.addEventListener("change", () => {
  // Without a name it is the first one, so that an embed can be tried at all.
  const first = mounts.all.values().next().value;
  const mount = wanted ? (mounts.all.get(wanted) ?? absent(wanted)) : first;
  if (!mount) return;
  panel.choose(mount);
  document.title = `${title(mount)} · live`;
  document.getElementById("whole").href = pageAddress(mount);
});
