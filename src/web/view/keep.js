// @ts-check
// Elements that are filled again and again: what has not changed stays as it is, so that a button that is about to be
// pressed, or a text that is selected, does not vanish.

import { setText } from "./dom.js";

/** @typedef {{ label: string, work: () => void }} Action */
/** @typedef {{ key: string, tag: string, text?: string, actions?: Action[] }} Part */

/**
 * Fills an element with one child for each item. The children of items that stay are kept, and moved if necessary.
 *
 * @template {{ key: string }} Item
 * @param {HTMLElement} parent
 * @param {Item[]} items
 * @param {(item: Item, child: HTMLElement) => void} show
 * @param {(item: Item) => string} tag
 */
export function keep(parent, items, show, tag) {
  /** @type {Map<string, HTMLElement>} */
  const known = new Map();
  for (const child of parent.children) {
    if (child instanceof HTMLElement) known.set(child.dataset.key ?? "", child);
  }
  // First, so that none of those that stay is moved for it: it would lose the focus.
  const wanted = new Set(items.map(({ key }) => key));
  for (const [key, child] of known) if (!wanted.has(key)) child.remove();
  items.forEach((item, at) => {
    let child = known.get(item.key);
    if (!child) {
      child = document.createElement(tag(item));
      child.dataset.key = item.key;
    }
    show(item, child);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}

/**
 * Fills an element with buttons.
 *
 * @param {HTMLElement} parent
 * @param {Action[]} actions
 */
export function buttons(parent, actions) {
  keep(
    parent,
    actions.map((action) => ({ key: action.label, ...action })),
    ({ label, work }, child) => {
      child.textContent = label;
      child.setAttribute("type", "button");
      child.onclick = work;
    },
    () => "button",
  );
}

/**
 * Fills an element with texts and buttons. Those that have neither are left out. Each has the first word of its key as
 * its class.
 *
 * @param {HTMLElement} parent
 * @param {Part[]} parts
 */
export function keepParts(parent, parts) {
  keep(
    parent,
    parts.filter(({ text, actions }) => text || actions),
    ({ key, text, actions }, child) => {
      child.className = key.replace(/ .*/, "");
      if (actions) buttons(child, actions);
      else setText(child, text ?? "");
    },
    ({ tag }) => tag,
  );
}
