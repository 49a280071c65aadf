// @ts-check
// The language of the page: German for who prefers it to English, else English.

/** @type {readonly string[]} */
const preferred = globalThis.navigator?.languages ?? [];

export const isGerman = preferred.find((language) => /^(de|en)\b/i.test(language))?.toLowerCase().startsWith("de") ?? false;

/**
 * A text in the language of the page. Both stand beside each other, so that neither is forgotten.
 *
 * @param {string} english
 * @param {string} german
 */
export const say = (english, german) => (isGerman ? german : english);

/**
 * A number with this many decimals.
 *
 * @param {number} value
 * @param {number} decimals
 */
export function decimal(value, decimals) {
  const text = value.toFixed(decimals);
  return say(text, text.replace(".", ","));
}

/**
 * Puts the German texts of a document, which are in its attributes, into their places.
 *
 * @param {ParentNode} root
 */
export function translate(root) {
  if (!isGerman) return;
  document.documentElement.lang = "de";
  for (const element of root.querySelectorAll("[data-de]")) {
    const text = [...element.childNodes].find((node) => node.nodeType === Node.TEXT_NODE && node.nodeValue?.trim());
    if (text) text.nodeValue = `${element.getAttribute("data-de")} `;
  }
  for (const name of ["aria-label", "title"]) {
    for (const element of root.querySelectorAll(`[data-de-${name}]`)) {
      element.setAttribute(name, element.getAttribute(`data-de-${name}`) ?? "");
    }
  }
}
