// The player for other people's pages: one microphone, its picture, and a way to the whole page.

import { ask } from "./asking.js";
import { Instrument } from "./instrument.js";
import { Listening } from "./listening.js";
import { absent, Mounts, title } from "./mounts.js";
import { announce } from "./session.js";
import { pageAddress } from "./sharing.js";

const mounts = new Mounts("api/v1/events");
const listening = new Listening(mounts);
const instrument = new Instrument(document.getElementById("instrument"), listening, mounts);
ask(document.getElementById("asking"), listening);
announce(listening, { play: () => listening.listen(instrument.chosen), step: () => {} });

const wanted = new URLSearchParams(location.search).get("mount");

mounts.addEventListener("change", () => {
  // Without a name it is the first one, so that an embed can be tried at all.
  const first = mounts.all.values().next().value;
  const mount = wanted ? (mounts.all.get(wanted) ?? absent(wanted)) : first;
  if (!mount) return;
  instrument.choose(mount);
  document.title = `${title(mount)} · live`;
  document.getElementById("whole").href = pageAddress(mount);
});
