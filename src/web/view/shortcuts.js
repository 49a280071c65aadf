// @ts-check
// Keys that work anywhere in the page, and the sheet that names them.

import { say } from "../model/language.js";
import { find } from "./dom.js";

/** @typedef {{ keys: string[], shown: string, does: string, work: () => void }} Shortcut */

export class Shortcuts {
  #dialog;
  #shortcuts;

  /**
   * @param {HTMLDialogElement} dialog The sheet.
   * @param {Shortcut[]} shortcuts
   */
  constructor(dialog, shortcuts) {
    this.#dialog = dialog;
    this.#shortcuts = [...shortcuts, { keys: ["?"], shown: "?", does: say("This sheet", "Diese Übersicht"), work: () => this.open() }];
    const list = find(dialog, "dl", HTMLElement);
    for (const { shown, does } of this.#shortcuts) {
      const [key, text] = [document.createElement("dt"), document.createElement("dd")];
      key.textContent = shown;
      text.textContent = does;
      list.append(key, text);
    }
    find(dialog, ".close", HTMLButtonElement).addEventListener("click", () => dialog.close());
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  open() {
    this.#dialog.showModal();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || event.repeat) return;
    const { target } = event;
    // Controls have keys of their own: the space bar presses a button, letters choose in a list.
    const isSpace = event.key === " ";
    const owner = isSpace ? "button, a, input, select, textarea, dialog" : "input:not([type=range]), select, textarea, dialog";
    if (target instanceof Element && target.closest(owner)) return;
    const shortcut = this.#shortcuts.find(({ keys }) => keys.includes(event.key));
    if (!shortcut) return;
    event.preventDefault();
    shortcut.work();
  }
}
