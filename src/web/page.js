// The listening page: the list of microphones, and one instrument for the one that is heard.

import { ask } from "./asking.js";
import { Instrument } from "./instrument.js";
import { List } from "./list.js";
import { Listening } from "./listening.js";
import { recall, remember } from "./memory.js";
import { absent, Mounts } from "./mounts.js";
import { announce } from "./session.js";
import { Sharing } from "./sharing.js";
import { overview } from "./words.js";

const part = (id) => document.getElementById(id);

const mounts = new Mounts("api/v1/events");
const listening = new Listening(mounts);
const instrument = new Instrument(part("main"), listening, mounts);
const list = new List(part("list"), part("nobody"), mounts, listening, play);
const sharing = new Sharing(part("sharing"));
ask(part("asking"), listening);
announce(listening, { play: () => instrument.chosen && play(instrument.chosen), step });

// An address that names a microphone means this one, on the air or not; what was heard last is a
// suggestion only.
const named = new URLSearchParams(location.search).get("mount");
const wanted = named ?? recall("mount", "");
let touched = false;

function play(mount) {
  touched = true;
  instrument.choose(mount);
  remember("mount", mount.name);
  listening.listen(mount);
}

function step(by) {
  const all = [...mounts.all.values()];
  const at = all.findIndex(({ name }) => name === instrument.chosen?.name);
  if (all.length > 0) play(all[(at + by + all.length) % all.length]);
}

/** What is chosen while nobody has chosen: it follows what is on the air. */
function choose() {
  const { chosen } = instrument;
  const { all } = mounts;
  const stays = touched && (all.has(chosen.name) || listening.state !== "idle");
  if (stays) instrument.choose(all.get(chosen.name) ?? chosen);
  else instrument.choose(all.get(wanted) ?? (named ? absent(named) : all.values().next().value ?? null));
}

mounts.addEventListener("change", () => {
  choose();
  list.show(instrument.chosen);
  const text = overview(mounts);
  if (part("overview").textContent !== text) part("overview").textContent = text;
  part("share").disabled = !instrument.chosen;
});
listening.addEventListener("change", () => list.show(instrument.chosen));
part("share").addEventListener("click", () => sharing.open(instrument.chosen));
