// @ts-check
// The list of microphones: a button for each, which plays it.
//
// A button is the same element for as long as its microphone is on the air, so it keeps the keyboard's focus when
// something else changes.

import { say } from "../model/language.js";
import { ACCESS, format, moment, overview } from "../model/messages.js";
import { title } from "../model/mounts.js";
import { setText } from "./dom.js";

/**
 * @typedef {import("../model/listening.js").Listening} Listening
 * @typedef {import("../model/mounts.js").Mount} Mount
 * @typedef {import("../model/mounts.js").Mounts} Mounts
 * @typedef {import("../model/mounts.js").OffMount} OffMount
 */

/**
 * The elements of one microphone.
 *
 * @typedef {Record<"item" | "name" | "status" | "about", HTMLElement> & { button: HTMLButtonElement }} Item
 */

export class MicrophoneList {
  #root;
  #empty;
  #mounts;
  #listening;
  #play;
  #thumbnails;
  /** @type {Map<string, Item>} */
  #items = new Map();

  /**
   * @param {HTMLElement} root
   * @param {HTMLElement} empty Shown instead of a list without entries.
   * @param {Mounts} mounts
   * @param {Listening} listening
   * @param {(mount: Mount) => void} play
   * @param {import("./thumbnails.js").Thumbnails} thumbnails
   */
  constructor(root, empty, mounts, listening, play, thumbnails) {
    this.#root = root;
    this.#empty = empty;
    this.#mounts = mounts;
    this.#listening = listening;
    this.#play = play;
    this.#thumbnails = thumbnails;
  }

  /** @param {Mount | null} chosen */
  show(chosen) {
    for (const [name, { item }] of this.#items) {
      if (this.#mounts.all.has(name) || this.#mounts.off.has(name)) continue;
      item.remove();
      this.#items.delete(name);
      this.#thumbnails.remove(name);
    }
    /** @type {HTMLElement | null} */
    let before = null;
    const { all, off } = this.#mounts;
    for (const mount of [...all.values(), ...off.values()]) {
      const parts = this.#item(mount.name);
      if ("codec" in mount) this.#fill(parts, mount, chosen);
      else this.#fillOff(parts, mount);
      /** @type {ChildNode | null} */
      const next = before ? before.nextSibling : this.#root.firstChild;
      if (next !== parts.item) this.#root.insertBefore(parts.item, next);
      before = parts.item;
    }
    const choices = [...all.keys(), ...off.keys()].filter((name) => this.#mounts.choice(name));
    this.#empty.hidden = choices.length > 0;
    setText(this.#empty, overview(this.#mounts));
    this.#root.classList.toggle("stale", this.#mounts.online === false);
  }

  /**
   * @param {string} name
   * @returns {Item}
   */
  #item(name) {
    const known = this.#items.get(name);
    if (known) return known;
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const span = (/** @type {string} */ className) => {
      const element = document.createElement("span");
      element.className = className;
      button.append(element, " ");
      return element;
    };
    const parts = { item, button, name: span("name"), status: span("status"), about: span("about") };
    const picture = span("picture");
    picture.append(document.createElement("canvas"), span("level"));
    button.prepend(picture);
    this.#thumbnails.add(name, button);
    button.addEventListener("click", () => {
      const mount = this.#mounts.choice(name);
      if (mount) this.#play(mount);
    });
    item.append(button);
    this.#items.set(name, parts);
    return parts;
  }

  /**
   * @param {Item} parts
   * @param {Mount} mount
   * @param {Mount | null} chosen
   */
  #fill({ item, button, name, status, about }, mount, chosen) {
    const heard = !this.#listening.silent && this.#listening.mount?.name === mount.name;
    button.disabled = false;
    button.setAttribute("aria-pressed", String(heard));
    button.classList.toggle("chosen", chosen?.name === mount.name);
    item.dataset.mount = mount.name;
    setText(name, title(mount));
    const state = mount.state === "gap" ? say("no signal", "kein Signal") : ACCESS[mount.access] || say("live", "live");
    setText(status, heard && mount.state === "live" ? say("listening", "wird gehört") : state);
    status.dataset.state = mount.state === "gap" ? "gap" : mount.access;
    const listeners = mount.listeners === 1 ? say("1 listener", "1 Hörer") : say(`${mount.listeners} listeners`, `${mount.listeners} Hörer`);
    setText(about, [mount.title, format(mount), listeners].filter(Boolean).join(" · "));
  }

  /**
   * @param {Item} parts
   * @param {OffMount} mount
   */
  #fillOff({ item, button, name, status, about }, mount) {
    const idle = mount.state === "idle";
    button.disabled = !idle;
    button.removeAttribute("aria-pressed");
    button.classList.remove("chosen");
    item.dataset.mount = mount.name;
    setText(name, title(mount));
    setText(status, idle ? say("idle", "bereit") : say("off", "aus"));
    status.dataset.state = "off";
    const time = moment(Date.parse(mount.state_since));
    setText(about, idle ? say("starts when you listen", "beginnt, wenn Sie zuhören") : say(`since ${time}`, `seit ${time}`));
  }
}
