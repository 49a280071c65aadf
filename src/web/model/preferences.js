// @ts-check
// What the page remembers from one visit to the next: the last microphone, the volume, the view.
//
// Storage may be forbidden, full or missing. Then preferences last for one visit.

const PREFIX = "silvacast.";
/** @type {Map<string, any>} */
const here = new Map();

/**
 * @template {string | number | object} T
 * @param {string} key
 * @param {T} otherwise Where nothing is remembered.
 * @returns {T}
 */
export function recall(key, otherwise) {
  if (here.has(key)) return here.get(key);
  try {
    const text = localStorage.getItem(PREFIX + key);
    const value = text === null ? otherwise : JSON.parse(text);
    // Another version of the page may have stored another type under this name.
    return typeof value === typeof otherwise ? value : otherwise;
  } catch {
    return otherwise;
  }
}

/**
 * @param {string} key
 * @param {string | number | object} value
 */
export function remember(key, value) {
  here.set(key, value);
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // It is still remembered for this visit.
  }
}
