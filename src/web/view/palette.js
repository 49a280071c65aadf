// Loudness as colour: light on the night, and ink on paper by day, as sonagrams were printed.
//
// Both rise evenly in lightness, so that twice as far up the scale looks twice as loud, also to
// those who see colours differently and on paper without any.

const NIGHT = ["#0b1210", "#0f2b2b", "#12504a", "#2f7d57", "#84a84f", "#e0c65a", "#fff6d8"];
const PAPER = ["#fbfaf5", "#e3e6da", "#b9c9b8", "#7fa295", "#45746f", "#1f4249", "#0a1a22"];

/** 256 colours, as the pixels of a canvas want them. */
export function palette(dark) {
  const stops = (dark ? NIGHT : PAPER).map((colour) => parseInt(colour.slice(1), 16));
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (stops.length - 1);
    const at = Math.min(Math.floor(place), stops.length - 2);
    const mix = (shift) => {
      const [a, b] = [(stops[at] >> shift) & 255, (stops[at + 1] >> shift) & 255];
      return Math.round(a + (b - a) * (place - at));
    };
    return (255 << 24) | (mix(0) << 16) | (mix(8) << 8) | mix(16);
  });
}
