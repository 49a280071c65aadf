// @ts-check
// Chooses which loudness has the first and the last colour, from what is shown. Pure.
//
// Microphones differ by 60 dB, and so do day and night. A range that follows what there is shows all of them; it moves
// in steps, so that a picture does not flicker.

/** @typedef {{ floor: number, ceiling: number }} Range In dB of full scale. */

// So much of what is shown is darkest, and brightest.
const DARK = 0.4;
const BRIGHT = 0.9995;
// Less than this is not spread over all colours, in dB.
const NARROWEST = 35;
const STEP = 5;
// A change by less does not count.
const SLACK = 4;

/**
 * The range for spectra of which so many values have each loudness; the present one while that is nearly right, or
 * when there is nothing.
 *
 * @param {Uint32Array} counts For each value of a byte.
 * @param {Range} present
 * @param {(value: number) => number} decibels Of such a value.
 * @returns {Range}
 */
export function suited(counts, present, decibels) {
  // Digital silence says nothing.
  const total = counts.subarray(1).reduce((sum, count) => sum + count, 0);
  if (total === 0) return present;
  const quantile = (/** @type {number} */ part) => {
    let left = part * total;
    for (let value = 1; value < counts.length; value += 1) {
      left -= counts[value];
      if (left <= 0) return decibels(value);
    }
    return decibels(counts.length - 1);
  };
  const floor = quantile(DARK);
  const ceiling = Math.max(quantile(BRIGHT), floor + NARROWEST);
  if (Math.abs(floor - present.floor) <= SLACK && Math.abs(ceiling - present.ceiling) <= SLACK) return present;
  return { floor: Math.round(floor / STEP) * STEP, ceiling: Math.ceil(ceiling / STEP) * STEP };
}
