// @ts-check
// Loudness as colour: bright on a dark page, and dark on a bright page, like a printed sonagram.
//
// In both palettes lightness changes evenly, so they can be read without colour vision and in black and white.

const NIGHT = ["#0b1210", "#0f2b2b", "#12504a", "#2f7d57", "#84a84f", "#e0c65a", "#fff6d8"];
const PAPER = ["#fbfaf5", "#e3e6da", "#b9c9b8", "#7fa295", "#45746f", "#1f4249", "#0a1a22"];

/**
 * 256 colours, as pixels of a canvas.
 *
 * @param {boolean} dark Whether the page is.
 */
export function palette(dark) {
  const stops = (dark ? NIGHT : PAPER).map((colour) => parseInt(colour.slice(1), 16));
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (stops.length - 1);
    const at = Math.min(Math.floor(place), stops.length - 2);
    const mix = (/** @type {number} */ shift) => {
      const [a, b] = [(stops[at] >> shift) & 255, (stops[at + 1] >> shift) & 255];
      return Math.round(a + (b - a) * (place - at));
    };
    return (255 << 24) | (mix(0) << 16) | (mix(8) << 8) | mix(16);
  });
}

/**
 * The colour of what was not received, as a pixel: of a hue that no loudness has.
 *
 * @param {boolean} dark Whether the page is.
 */
export function missing(dark) {
  return dark ? 0xff4a2f3a : 0xffe8d4dd;
}
