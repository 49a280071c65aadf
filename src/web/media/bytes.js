// @ts-check
// Arrays of bytes.

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/**
 * One array out of several.
 *
 * @param {Bytes[]} parts
 * @returns {Bytes}
 */
export function join(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * The bytes of an ASCII text.
 *
 * @param {string} value
 * @returns {Bytes}
 */
export function ascii(value) {
  return Uint8Array.from(value, (character) => character.charCodeAt(0));
}
