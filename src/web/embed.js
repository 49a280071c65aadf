// @ts-check
// The player for other people's pages: one microphone, its spectrogram, and a link to the whole page.

import { embedOptions } from "./embed-options.js";
import { Choice, named } from "./model/choice.js";
import { say, translate } from "./model/language.js";
import { Listening } from "./model/listening.js";
import { Mounts, title } from "./model/mounts.js";
import { obeyParent } from "./model/remote-control.js";
import { find } from "./view/dom.js";
import { LoginDialog } from "./view/login-dialog.js";
import { followMediaSession } from "./view/media-session.js";
import { PlayerPanel } from "./view/player-panel.js";
import { pageAddress } from "./view/share-dialog.js";

const { controls, spectrogram, theme } = embedOptions(location.search);
if (theme) document.documentElement.dataset.theme = theme;
document.body.classList.toggle("bare", !controls);
document.body.classList.toggle("blind", !spectrogram);

translate(document);
const mounts = new Mounts("api/v1/events");
const listening = new Listening(mounts, location.search);
const panel = new PlayerPanel(find(document, "#player", HTMLElement), listening, mounts);
// Without a name it is the first microphone, so that an embedded player can be tried quickly.
const choice = new Choice(named(location.search), "");
new LoginDialog(listening);
followMediaSession(listening, {
  play: () => {
    if (choice.mount) listening.listen(choice.mount);
  },
  step: () => {},
  again: () => panel.again(),
});

obeyParent(listening, () => choice.mount, () => find(document, "[data-part=state]", HTMLElement).textContent ?? "");

mounts.addEventListener("change", () => {
  choice.follow(mounts.all, listening.state !== "idle");
  panel.choose(choice.mount);
  if (!choice.mount) return;
  document.title = `${title(choice.mount)} · ${say("live", "live")}`;
  find(document, "#whole", HTMLAnchorElement).href = pageAddress(choice.mount);
});
