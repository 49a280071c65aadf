// @ts-check
// Loudness as colour.
//
// In each colour map lightness changes evenly, so it can be read without colour vision and in black and white. Grey is
// bright on a dark page, and dark on a bright page, like a printed sonagram.

const VIRIDIS = ["#12081f", "#3a2a6b", "#2c6588", "#23958a", "#6cc45c", "#f6e74f"];
const MAGMA = ["#06050f", "#33145f", "#7f2581", "#ca4070", "#f98a62", "#fdf4c4"];
const NIGHT = ["#0a0a0a", "#fafafa"];
const PAPER = ["#fdfdfb", "#0a0a0a"];

/** What was not received: two colours that alternate, of a hue that no loudness has. */
const MISSING = {
  viridis: ["#5a1f24", "#7a2d30"],
  magma: ["#0c3a3a", "#14504e"],
  night: ["#4a2030", "#6e3048"],
  paper: ["#f0c4d4", "#dba3b8"],
};

/** @typedef {"viridis" | "magma" | "grey"} PaletteName */

/** @type {readonly PaletteName[]} */
export const PALETTES = ["viridis", "magma", "grey"];

/**
 * 256 colours, from the quietest to the loudest, and the two of what was not received, as pixels of a canvas.
 *
 * @param {PaletteName} name
 * @param {boolean} isDark Whether the page is.
 */
export function palette(name, isDark) {
  const grey = isDark ? NIGHT : PAPER;
  const stops = { viridis: VIRIDIS, magma: MAGMA, grey }[name].map(number);
  const missing = MISSING[name === "grey" ? (isDark ? "night" : "paper") : name].map(number);
  return {
    loudness: Uint32Array.from({ length: 256 }, (_, i) => {
      const place = (i / 255) * (stops.length - 1);
      const at = Math.min(Math.floor(place), stops.length - 2);
      return pixel((shift) => {
        const [a, b] = [(stops[at] >> shift) & 255, (stops[at + 1] >> shift) & 255];
        return Math.round(a + (b - a) * (place - at));
      });
    }),
    missing: missing.map((colour) => pixel((shift) => (colour >> shift) & 255) >>> 0),
  };
}

/** @param {string} colour */
function number(colour) {
  return parseInt(colour.slice(1), 16);
}

/**
 * Of a function that gives the part of a colour that is so many bits from the right.
 *
 * @param {(shift: number) => number} part
 */
function pixel(part) {
  return (255 << 24) | (part(0) << 16) | (part(8) << 8) | part(16);
}

/**
 * A pixel as a colour of CSS.
 *
 * @param {number} value
 */
export function css(value) {
  return `rgb(${value & 255} ${(value >> 8) & 255} ${(value >> 16) & 255})`;
}
