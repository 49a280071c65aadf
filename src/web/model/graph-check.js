// @ts-check
// Whether the audio graph gets what an element plays: some browsers give it nothing but zeros. (WebKit's bugs 180696 and
// 266922.)
//
// The decoded packets say that something is audible. After a second of that with exact zeros, the graph gets nothing. It
// is asked until it gets something.

// Between two looks, in milliseconds, and how many of them must find it so.
const LOOKS = 100;
const ENOUGH = 10;
// An amplitude of a thousandth, at -60 dB, is audible.
const AUDIBLE = 0.001;

export class GraphCheck {
  #timer;
  #count = 0;

  /**
   * @param {import("../media/sound.js").Sound} sound
   * @param {() => number | null} peak The amplitude of what is played now, or null if that is not known.
   * @param {() => void} failed The graph gets nothing.
   */
  constructor(sound, peak, failed) {
    this.#timer = setInterval(() => {
      if (!sound.isZero) {
        this.end();
        return;
      }
      this.#count = (peak() ?? 0) > AUDIBLE ? this.#count + 1 : 0;
      if (this.#count < ENOUGH) return;
      this.end();
      failed();
    }, LOOKS);
  }

  end() {
    clearInterval(this.#timer);
  }
}
