// @ts-check
// The player panel: what is shown of the microphone that is heard, and the controls for it.
//
// The listening page has all of its parts, the embedded player some of them. It draws once per frame while something
// may be heard, and not otherwise.

import * as messages from "../model/messages.js";
import { RATE } from "../model/columns.js";
import { PREFERENCES } from "../model/delivery.js";
import { describe } from "../model/panel.js";
import { say } from "../model/language.js";
import { recall, remember } from "../model/preferences.js";
import { marks } from "./detection-list.js";
import { find, save, setText } from "./dom.js";
import { HearingControls } from "./hearing-controls.js";
import { LevelMeter } from "./level-meter.js";
import { PictureControls } from "./picture-controls.js";
import { Selection } from "./selection.js";
import { fileName } from "./snapshot.js";
import { Spectrogram } from "./spectrogram.js";

/**
 * @typedef {import("../model/listening.js").Listening} Listening
 * @typedef {import("../model/mounts.js").Mount} Mount
 * @typedef {import("../model/mounts.js").Mounts} Mounts
 */

// From this many seconds on, the way back to live is offered.
const LATE = 1;
// By how many columns the picture may be off.
const EVEN = 6;
// Milliseconds from one frame until the next one is asked for.
const PAUSE = 30;
// Milliseconds between two updates of the figure.
const FIGURE = 500;
// How many seconds are heard again.
const AGAIN = 10;
const ALL = { low: 0, high: Infinity };

export class PlayerPanel {
  #root;
  #listening;
  #mounts;
  #play;
  #spectrogram;
  #meter;
  /**
   * What the play button plays.
   *
   * @type {Mount | null}
   */
  #chosen = null;
  /**
   * What the spectrogram shows.
   *
   * @type {import("../model/delivery.js").Picture | null}
   */
  #picture = null;
  /** @type {number | null} */
  #edge = null;
  /** @type {PictureControls | null} */
  #pictureControls = null;
  /** @type {HearingControls | null} */
  #hearingControls = null;
  /** @type {Selection | null} */
  #selection = null;
  /**
   * What is marked in the picture.
   *
   * @type {import("../model/detections.js").Detection[]}
   */
  detections = [];
  #figured = 0;
  #running = false;

  /**
   * @param {HTMLElement} root
   * @param {Listening} listening
   * @param {Mounts} mounts
   */
  constructor(root, listening, mounts) {
    const part = this.#part.bind(this);
    this.#root = root;
    this.#listening = listening;
    this.#mounts = mounts;
    this.#play = this.#part("play", HTMLButtonElement);
    this.#spectrogram = new Spectrogram(this.#part("spectrogram", HTMLCanvasElement));
    this.#meter = new LevelMeter(this.#part("meter", HTMLElement));
    this.#controlPlayback();
    this.#controlVolume();
    if (this.#has("kind")) this.#controlView();
    if (this.#has("hearing")) this.#hearingControls = new HearingControls(part, listening);
    this.#controlPreference();
    listening.addEventListener("change", () => this.show());
    mounts.addEventListener("change", () => this.show());
    this.show();
  }

  /** @param {Mount | null} mount */
  choose(mount) {
    this.#chosen = mount;
    this.show();
  }

  show() {
    const panel = describe(this.#listening, this.#chosen, this.#mounts);
    const state = this.#part("state", HTMLElement);
    setText(find(this.#root, "h1", HTMLElement), panel.name);
    if (this.#has("about")) setText(this.#part("about", HTMLElement), panel.about);
    setText(this.#play, panel.action === "listen" ? say("Listen", "Anhören") : say("Stop", "Stopp"));
    this.#play.classList.toggle("on", panel.action === "stop");
    this.#play.disabled = !panel.enabled;
    setText(state, panel.message);
    state.dataset.tone = panel.tone;
    if (this.#has("preference")) this.#part("exact", HTMLElement).hidden = !panel.offersWebRtc;
    const { silent } = this.#listening;
    const shown = panel.mount ? this.#pictureOf(panel.mount) : null;
    if (shown !== this.#picture) this.#begin(shown);
    if (panel.mount) this.#hearingControls?.show(panel.mount.name);
    if (this.#has("again")) this.#part("again", HTMLButtonElement).disabled = !this.#picture?.past || silent;
    if (silent) this.#part("live", HTMLElement).hidden = true;
    if (!silent || this.#listening.replay) this.#run();
  }

  /**
   * The picture of a mount, if it is or was heard.
   *
   * @param {Mount} mount
   */
  #pictureOf(mount) {
    return this.#listening.mount?.name === mount.name ? this.#listening.picture : null;
  }

  /** @param {import("../model/delivery.js").Picture | null} picture */
  #begin(picture) {
    this.#picture = picture;
    this.#edge = null;
    this.#spectrogram.begin(picture, (this.#listening.sound?.rate ?? 48_000) / 2);
    this.#pictureControls?.begin();
    this.#selection?.show();
  }

  /**
   * @template {HTMLElement} T
   * @param {string} name
   * @param {new () => T} type
   */
  #part(name, type) {
    return find(this.#root, `[data-part="${name}"]`, type);
  }

  /** @param {string} name */
  #has(name) {
    return this.#root.querySelector(`[data-part="${name}"]`) !== null;
  }

  #run() {
    if (this.#running) return;
    this.#running = true;
    const frame = (/** @type {number} */ now) => {
      this.#show(now);
      if (now - this.#figured > FIGURE) {
        this.#figured = now;
        this.#showFigure();
        this.#spectrogram.marks = marks(this.detections, this.#picture);
      }
      this.#running = !this.#listening.silent || this.#listening.replay !== null;
      // A frame of the browser takes time even where little changes.
      if (this.#running) setTimeout(() => requestAnimationFrame(frame), PAUSE);
      else this.#meter.clear();
    };
    requestAnimationFrame(frame);
  }

  /** @param {number} now */
  #show(now) {
    const { replay, picture } = this.#listening;
    // WebRTC may have another one.
    if (picture !== this.#picture) this.show();
    const step = replay ? replay.step : this.#step(now);
    const columns = this.#picture?.columns;
    if (step === null || !columns) {
      this.#meter.frame(now, 0);
      return;
    }
    this.#spectrogram.playhead = replay && this.#spectrogram.paused ? step : null;
    this.#spectrogram.frame(now, step);
    this.#meter.frame(now, columns.peak(Math.min(Math.floor(step), columns.end) - 1));
  }

  /**
   * What is live at `now`. It moves evenly, and is corrected when it is off.
   *
   * @param {number} now
   */
  #step(now) {
    const edge = this.#listening.edge(now);
    if (edge === null) return null;
    const exact = edge - (now * RATE) / 1000;
    if (this.#edge === null || Math.abs(this.#edge - exact) > EVEN) this.#edge = exact;
    return this.#edge + (now * RATE) / 1000;
  }

  #showFigure() {
    const live = this.#part("live", HTMLElement);
    const toLive = this.#part("to-live", HTMLButtonElement);
    const seconds = this.#listening.behind();
    live.hidden = seconds === null;
    if (seconds === null) return;
    setText(this.#part("behind", HTMLElement), messages.behind(seconds));
    live.classList.toggle("late", seconds > LATE);
    // WebRTC keeps nothing that could be skipped.
    const canSkip = seconds > LATE && (this.#listening.replay !== null || this.#listening.how.kind !== "webrtc");
    // The button vanishes: the keyboard's focus must not.
    if (!canSkip && document.activeElement === toLive) this.#play.focus();
    toLive.hidden = !canSkip;
  }

  #controlPlayback() {
    this.#play.addEventListener("click", () => this.toggle());
    this.#part("to-live", HTMLButtonElement).addEventListener("click", () => this.#listening.toLive());
    if (this.#has("again")) this.#part("again", HTMLButtonElement).addEventListener("click", () => this.again());
  }

  /** Listens, or stops. */
  toggle() {
    if (!this.#listening.silent) this.#listening.stop();
    else if (this.#chosen) this.#listening.listen(this.#chosen);
  }

  toggleMute() {
    this.#part("mute", HTMLButtonElement).click();
  }

  toLive() {
    this.#pictureControls?.pause(false);
    this.#listening.toLive();
  }

  togglePicture() {
    this.#part("hold", HTMLButtonElement).click();
  }

  /**
   * Moves the picture, which is paused then.
   *
   * @param {number} seconds
   */
  move(seconds) {
    this.#pictureControls?.move(seconds);
  }

  toggleFullScreen() {
    this.#pictureControls?.toggleFullScreen();
  }

  /** Plays the last seconds again. */
  again() {
    const step = this.#listening.edge(performance.now());
    if (step === null) return;
    this.#pictureControls?.pause(false);
    this.#listening.playAgain(step - AGAIN * RATE, step, ALL);
  }

  #controlVolume() {
    const mute = this.#part("mute", HTMLButtonElement);
    const volume = this.#has("volume") ? this.#part("volume", HTMLInputElement) : null;
    let muted = false;
    const apply = () => {
      const loud = volume ? volume.valueAsNumber / 100 : 1;
      this.#listening.volume = muted ? 0 : loud;
      mute.setAttribute("aria-pressed", String(muted));
    };
    mute.addEventListener("click", () => {
      muted = !muted;
      apply();
    });
    if (volume) {
      volume.valueAsNumber = recall("volume", 100);
      volume.addEventListener("input", () => {
        muted = false;
        remember("volume", volume.valueAsNumber);
        apply();
      });
    }
    apply();
  }

  #controlPreference() {
    const apply = () => {
      const preferred = recall("prefer", /** @type {string} */ ("sound"));
      this.#listening.preference = PREFERENCES.find((one) => one === preferred) ?? "sound";
    };
    apply();
    if (!this.#has("prefer")) return;
    const prefer = this.#part("prefer", HTMLSelectElement);
    prefer.value = recall("prefer", "sound");
    prefer.addEventListener("change", () => {
      remember("prefer", prefer.value);
      apply();
    });
  }

  #controlView() {
    const [part, spectrogram] = [this.#part.bind(this), this.#spectrogram];
    const name = () => find(this.#root, "h1", HTMLElement).textContent ?? "";
    const controls = new PictureControls(part, spectrogram, name);
    this.#pictureControls = controls;
    const selection = new Selection(part, spectrogram, {
      pause: () => controls.pause(true),
      play: ({ from, to, low, high }) => this.#listening.playAgain(from, to, { low, high }),
      save: async ({ from, to }) => {
        const sound = await this.#picture?.past?.file(from, to);
        const time = this.#picture?.time(from) ?? null;
        if (sound) save(sound, fileName(name(), time === null ? null : new Date(time), "opus"));
      },
    });
    this.#selection = selection;
    part("hold", HTMLButtonElement).addEventListener("click", () => selection.show());
  }
}
