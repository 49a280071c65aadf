// The list of microphones: a button each, which plays it.
//
// A button stays the same element for as long as its microphone is on the air, so that nobody
// loses the keyboard's focus because something else has changed.

import { title } from "../model/mounts.js";
import { ACCESS, format, overview } from "../model/messages.js";

export class MicrophoneList {
  #root;
  #nobody;
  #mounts;
  #listening;
  #play;
  #items = new Map();

  constructor(root, nobody, mounts, listening, play) {
    this.#root = root;
    this.#nobody = nobody;
    this.#mounts = mounts;
    this.#listening = listening;
    this.#play = play;
  }

  show(chosen) {
    for (const [name, item] of this.#items) {
      if (this.#mounts.all.has(name)) continue;
      item.remove();
      this.#items.delete(name);
    }
    let before = null;
    for (const mount of this.#mounts.all.values()) {
      const item = this.#item(mount.name);
      this.#fill(item, mount, chosen);
      const next = before ? before.nextSibling : this.#root.firstChild;
      if (next !== item) this.#root.insertBefore(item, next);
      before = item;
    }
    this.#nobody.hidden = this.#mounts.all.size > 0;
    set(this.#nobody, overview(this.#mounts));
    this.#root.classList.toggle("stale", this.#mounts.online === false);
  }

  #item(name) {
    let item = this.#items.get(name);
    if (item) return item;
    item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    for (const part of ["name", "status", "about"]) {
      const span = document.createElement("span");
      span.className = part;
      button.append(span, " ");
    }
    button.addEventListener("click", () => {
      const mount = this.#mounts.all.get(name);
      if (mount) this.#play(mount);
    });
    item.append(button);
    this.#items.set(name, item);
    return item;
  }

  #fill(item, mount, chosen) {
    const button = item.firstChild;
    const [name, status, about] = button.children;
    const heard = !this.#listening.silent && this.#listening.mount?.name === mount.name;
    button.setAttribute("aria-pressed", heard);
    button.classList.toggle("chosen", chosen?.name === mount.name);
    item.dataset.mount = mount.name;
    set(name, title(mount));
    const state = mount.state === "gap" ? "no signal" : ACCESS[mount.access] || "live";
    set(status, heard && mount.state === "live" ? "listening" : state);
    status.dataset.state = mount.state === "gap" ? "gap" : mount.access;
    const listeners = mount.listeners === 1 ? "1 listener" : `${mount.listeners} listeners`;
    set(about, [mount.title, format(mount), listeners].filter(Boolean).join(" · "));
  }
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
