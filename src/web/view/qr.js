// @ts-check
// QR codes (ISO/IEC 18004).
//
// Byte mode, error correction level M, versions 1 to 20, which is up to 666 bytes. Pure: from a text to rows of modules.

/**
 * Rows of modules, `true` for a dark one. While a code is drawn, `null` stands where data goes.
 *
 * @typedef {(boolean | null)[][]} Code
 */

/**
 * Whether a mask leaves a module as it is, if 0.
 *
 * @typedef {(x: number, y: number) => number} Mask
 */

// For each version: error correction bytes in a block, and blocks.
const CHECKS = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];

/** @type {Mask[]} */
const MASKS = [
  (x, y) => (x + y) % 2,
  (_x, y) => y % 2,
  (x) => x % 3,
  (x, y) => (x + y) % 3,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2,
  (x, y) => ((x * y) % 2) + ((x * y) % 3),
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

/**
 * The code for a text, or null if the text is too long.
 *
 * @param {string} text
 * @returns {Code | null}
 */
export function encode(text) {
  const bytes = new TextEncoder().encode(text);
  const version = CHECKS.findIndex((_, i) => capacity(i + 1) >= bytes.length) + 1;
  if (version === 0) return null;
  const codewords = interleave(payload(bytes, version), version);
  const codes = MASKS.map((mask, number) => draw(version, codewords, mask, number));
  return codes.reduce((best, code) => (penalty(code) < penalty(best) ? code : best));
}

const size = (/** @type {number} */ version) => version * 4 + 17;
const countBits = (/** @type {number} */ version) => (version < 10 ? 8 : 16);
const checks = (/** @type {number} */ version) => CHECKS[version - 1] * BLOCKS[version - 1];
const dataBytes = (/** @type {number} */ version) => Math.floor(modules(version) / 8) - checks(version);
const capacity = (/** @type {number} */ version) =>
  Math.floor((dataBytes(version) * 8 - 4 - countBits(version)) / 8);

/**
 * The number of modules that carry data: all except the patterns.
 *
 * @param {number} version
 */
function modules(version) {
  let count = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const aligned = Math.floor(version / 7) + 2;
    count -= (25 * aligned - 10) * aligned - 55;
  }
  return version >= 7 ? count - 36 : count;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} version
 */
function payload(bytes, version) {
  /** @type {number[]} */
  const bits = [];
  const put = (/** @type {number} */ value, /** @type {number} */ count) => {
    for (let i = count - 1; i >= 0; i -= 1) bits.push((value >> i) & 1);
  };
  put(4, 4); // byte mode
  put(bytes.length, countBits(version));
  for (const byte of bytes) put(byte, 8);
  const room = dataBytes(version) * 8;
  put(0, Math.min(4, room - bits.length));
  put(0, -bits.length & 7);
  for (let pad = 0xec; bits.length < room; pad ^= 0xec ^ 0x11) put(pad, 8);
  return Array.from({ length: room / 8 }, (_, i) =>
    bits.slice(i * 8, i * 8 + 8).reduce((byte, bit) => byte * 2 + bit, 0),
  );
}

/**
 * Blocks with their error correction bytes, one byte of each in turn.
 *
 * @param {number[]} data
 * @param {number} version
 */
function interleave(data, version) {
  const blocks = BLOCKS[version - 1];
  const generator = polynomial(CHECKS[version - 1]);
  const short = Math.floor(data.length / blocks);
  const longer = data.length % blocks;
  const parts = [];
  for (let i = 0, at = 0; i < blocks; i += 1) {
    const length = short + (i >= blocks - longer ? 1 : 0);
    parts.push(data.slice(at, at + length));
    at += length;
  }
  const ends = parts.map((part) => remainder(part, generator));
  const inTurn = (/** @type {number[][]} */ lists) =>
    Array.from({ length: Math.max(...lists.map((list) => list.length)) }, (_, i) =>
      lists.filter((list) => i < list.length).map((list) => list[i]),
    ).flat();
  return [...inTurn(parts), ...inTurn(ends)];
}

/**
 * In the Galois field of 256 elements.
 *
 * @param {number} a
 * @param {number} b
 */
function multiply(a, b) {
  let product = 0;
  for (let i = 7; i >= 0; i -= 1) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    product ^= ((b >> i) & 1) * a;
  }
  return product;
}

/**
 * The generator polynomial of this degree.
 *
 * @param {number} degree
 * @returns {number[]}
 */
function polynomial(degree) {
  let result = [...Array(degree - 1).fill(0), 1];
  for (let i = 0, root = 1; i < degree; i += 1, root = multiply(root, 2)) {
    result = result.map((factor, j) => multiply(factor, root) ^ (result[j + 1] ?? 0));
  }
  return result;
}

/**
 * @param {number[]} data
 * @param {number[]} generator
 */
function remainder(data, generator) {
  return data.reduce(
    (rest, byte) => {
      const factor = byte ^ rest[0];
      return generator.map((part, i) => (rest[i + 1] ?? 0) ^ multiply(part, factor));
    },
    generator.map(() => 0),
  );
}

/**
 * @param {number} version
 * @param {number[]} codewords
 * @param {Mask} mask
 * @param {number} number The mask's.
 */
function draw(version, codewords, mask, number) {
  const side = size(version);
  /** @type {Code} */
  const code = Array.from({ length: side }, () => Array(side).fill(null));
  /**
   * @param {number} left
   * @param {number} top
   * @param {number} extent
   * @param {boolean} dark
   */
  const square = (left, top, extent, dark) => {
    for (let y = 0; y < extent; y += 1) {
      for (let x = 0; x < extent; x += 1) {
        if (code[top + y]?.[left + x] !== undefined) code[top + y][left + x] = dark;
      }
    }
  };
  /**
   * Squares with the same centre, dark and light in turn.
   *
   * @param {number} x
   * @param {number} y
   * @param {number[]} extents
   */
  const nest = (x, y, extents) => {
    extents.forEach((extent, i) => {
      square(x - (extent >> 1), y - (extent >> 1), extent, (extents.length + i) % 2 === 1);
    });
  };
  for (let i = 0; i < side; i += 1) code[6][i] = code[i][6] = i % 2 === 0;
  const centres = alignment(version);
  for (const x of centres) {
    for (const y of centres) {
      const corner = (x === 6 && y === 6) || (x === 6 && y === side - 7) || (x === side - 7 && y === 6);
      if (!corner) nest(x, y, [5, 3, 1]);
    }
  }
  for (const [x, y] of [[3, 3], [side - 4, 3], [3, side - 4]]) nest(x, y, [9, 7, 5, 3]);
  inform(code, version, number);
  fill(code, codewords, mask);
  return code;
}

/**
 * The coordinates of the alignment patterns.
 *
 * @param {number} version
 */
function alignment(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.ceil((version * 4 + 4) / (count * 2 - 2)) * 2;
  const side = size(version);
  return [6, ...Array.from({ length: count - 1 }, (_, i) => side - 7 - (count - 2 - i) * step)];
}

/**
 * Draws the format and version information.
 *
 * @param {Code} code
 * @param {number} version
 * @param {number} mask
 */
function inform(code, version, mask) {
  const side = code.length;
  /**
   * @param {number} value
   * @param {number} generator
   * @param {number} bits
   */
  const check = (value, generator, bits) => {
    let rest = value;
    for (let i = 0; i < bits; i += 1) rest = (rest << 1) ^ ((rest >> (bits - 1)) * generator);
    return (value << bits) | rest;
  };
  // Level M is 00.
  const format = check(mask, 0x537, 10) ^ 0x5412;
  const bit = (/** @type {number} */ i) => ((format >> i) & 1) === 1;
  for (let i = 0; i < 15; i += 1) {
    const [x, y] = i < 6 ? [8, i] : i < 8 ? [8, i + 1] : i === 8 ? [7, 8] : [14 - i, 8];
    code[y][x] = bit(i);
    if (i < 8) code[8][side - 1 - i] = bit(i);
    else code[side - 15 + i][8] = bit(i);
  }
  code[side - 8][8] = true;
  if (version < 7) return;
  const bits = check(version, 0x1f25, 12);
  for (let i = 0; i < 18; i += 1) {
    const [a, b] = [side - 11 + (i % 3), Math.floor(i / 3)];
    code[b][a] = code[a][b] = ((bits >> i) & 1) === 1;
  }
}

/**
 * Places the data: up and down in columns of two, from the right, around the patterns.
 *
 * @param {Code} code
 * @param {number[]} codewords
 * @param {Mask} mask
 */
function fill(code, codewords, mask) {
  const side = code.length;
  let at = 0;
  for (let right = side - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    const up = ((right + 1) & 2) === 0;
    for (let i = 0; i < side; i += 1) {
      const y = up ? side - 1 - i : i;
      for (const x of [right, right - 1]) {
        if (code[y][x] !== null) continue;
        const bit = (codewords[at >> 3] >> (7 - (at & 7))) & 1;
        at += 1;
        code[y][x] = (bit === 1) !== (mask(x, y) === 0);
      }
    }
  }
}

/**
 * How hard a code is to read: long runs, blocks, patterns like a finder's, imbalance.
 *
 * @param {Code} code
 */
function penalty(code) {
  const side = code.length;
  const lines = [...code, ...code.map((_, x) => code.map((row) => row[x]))];
  const text = lines.map((line) => line.map(Number).join(""));
  let sum = 0;
  for (const line of text) {
    for (const run of line.match(/0{5,}|1{5,}/g) ?? []) sum += run.length - 2;
    sum += 40 * (line.match(/(?=10111010000|00001011101)/g) ?? []).length;
  }
  const at = (/** @type {number} */ x, /** @type {number} */ y) => Number(code[y][x]);
  let dark = 0;
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      dark += at(x, y);
      const block = y > 0 && x > 0 ? at(x, y) + at(x, y - 1) + at(x - 1, y) + at(x - 1, y - 1) : 1;
      if (block === 0 || block === 4) sum += 3;
    }
  }
  return sum + 10 * Math.floor(Math.abs((dark / side ** 2) * 20 - 10));
}

/**
 * The code as the path of an SVG image, `side` units wide and high, with the quiet zone.
 *
 * @param {Code} code
 */
export function path(code) {
  const quiet = 4;
  const dark = code.flatMap((row, y) =>
    row.map((on, x) => (on ? `M${x + quiet} ${y + quiet}h1v1h-1z` : "")),
  );
  return { side: code.length + 2 * quiet, d: dark.join("") };
}
