// The instrument: what a person sees of, and does with, the microphone that is heard.
//
// The listening page has all of its parts, an embedded player some of them; a part that is not
// there is left out. It draws once a frame while something sounds, and never otherwise.

import { recall, remember } from "../model/preferences.js";
import { LevelMeter } from "./level-meter.js";
import { snapshot } from "./snapshot.js";
import { hertz } from "./scale.js";
import { Spectrogram } from "./spectrogram.js";
import { title } from "../model/mounts.js";
import * as messages from "../model/messages.js";

// From here on it is worth while to go back to live.
const LATE = 1;
const FIGURE = 500;

export class PlayerPanel {
  #root;
  #parts;
  #listening;
  #mounts;
  #spectrogram;
  #meter;
  #chosen = null; // what the play button plays
  #sound = null;
  #wall = null;
  #figured = 0;
  #running = false;

  constructor(root, listening, mounts) {
    this.#root = root;
    this.#listening = listening;
    this.#mounts = mounts;
    const parts = [...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]);
    this.#parts = Object.fromEntries(parts);
    this.#spectrogram = new Spectrogram(this.#parts.spectrogram);
    this.#meter = new LevelMeter(this.#parts.meter);
    this.#control();
    this.#view();
    listening.addEventListener("change", () => this.show());
    mounts.addEventListener("change", () => this.show());
  }

  /** What is played next, or has been played. */
  choose(mount) {
    this.#chosen = mount;
    this.show();
  }

  get chosen() {
    return this.#chosen;
  }

  show() {
    const { state, mount: heard } = this.#listening;
    const idle = this.#listening.silent;
    const mount = (idle ? this.#chosen : heard) ?? null;
    const known = mount && (this.#mounts.all.get(mount.name) ?? mount);
    const { play, about, state: said } = this.#parts;
    const name = this.#root.querySelector("h1");
    set(name, known ? title(known) : "Listening");
    if (about) {
      const told = [known?.title, known?.description].filter(Boolean).join(" · ");
      set(about, told || (known?.name ?? ""));
    }
    set(play, idle ? "Listen" : "Stop");
    play.classList.toggle("on", !idle);
    play.disabled = !mount;
    const sentence = messages.sentence(this.#listening, known);
    set(said, sentence || (mount ? "" : messages.overview(this.#mounts)));
    said.dataset.state = state === "playing" && known?.state === "gap" ? "gap" : state;
    if (idle && this.#parts.live) this.#parts.live.hidden = true;
    this.#see();
    if (!idle) this.#run();
  }

  #see() {
    const { sound } = this.#listening;
    if (sound === this.#sound) return;
    this.#sound = sound;
    this.#spectrogram.begin(sound.rate / 2, sound.tap.frequencyBinCount);
  }

  #run() {
    if (this.#running) return;
    this.#running = true;
    const frame = (now) => {
      const heard = ["playing", "waiting", "lost", "absent"].includes(this.#listening.state);
      const tap = heard ? this.#sound?.tap : null;
      this.#spectrogram.frame(now, tap, this.#time(now));
      this.#meter.frame(now, tap);
      if (now - this.#figured > FIGURE) {
        this.#figured = now;
        this.#figure();
      }
      this.#running = !this.#listening.silent;
      if (this.#running) requestAnimationFrame(frame);
      else this.#meter.clear();
    };
    requestAnimationFrame(frame);
  }

  /** The wall clock of what is heard; it goes on evenly, and is set right when it is off. */
  #time(now) {
    const wall = this.#listening.wall();
    if (this.#wall === null || Math.abs(this.#wall + now - wall) > 150) this.#wall = wall - now;
    return this.#wall + now;
  }

  #figure() {
    const { live, behind, "to-live": back } = this.#parts;
    const seconds = this.#listening.behind();
    live.hidden = seconds === null;
    if (seconds === null) return;
    set(behind, messages.behind(seconds));
    live.classList.toggle("late", seconds > LATE);
    // Somebody who has just pressed it with the keyboard is not left without a place.
    if (seconds <= LATE && document.activeElement === back) this.#parts.play.focus();
    back.hidden = seconds <= LATE;
  }

  #control() {
    const { play, volume, mute, "to-live": back } = this.#parts;
    const listening = this.#listening;
    play.addEventListener("click", () => {
      if (play.classList.contains("on")) listening.stop();
      else if (this.#chosen) listening.listen(this.#chosen);
    });
    back.addEventListener("click", () => listening.toLive());
    let muted = false;
    const apply = () => {
      const loud = volume ? volume.value / 100 : 1;
      listening.volume = muted ? 0 : loud;
      mute.setAttribute("aria-pressed", muted);
    };
    mute.addEventListener("click", () => {
      muted = !muted;
      apply();
    });
    if (volume) {
      volume.value = recall("volume", 100);
      volume.addEventListener("input", () => {
        muted = false;
        remember("volume", Number(volume.value));
        apply();
      });
    }
    apply();
  }

  #view() {
    const { kind, floor, ceiling, hold, save, cursor, spectrogram: canvas } = this.#parts;
    const spectrogram = this.#spectrogram;
    const kinds = recall("kind", "linear");
    const range = { floor: recall("floor", -105), ceiling: recall("ceiling", -35) };
    spectrogram.kind = kinds;
    spectrogram.range = range;
    if (!kind) return;
    kind.value = kinds;
    kind.addEventListener("change", () => {
      remember("kind", kind.value);
      spectrogram.kind = kind.value;
    });
    for (const [name, slider] of Object.entries({ floor, ceiling })) {
      const show = () => set(this.#parts[`${name}-figure`], `${range[name]} dB`);
      slider.value = range[name];
      show();
      slider.addEventListener("input", () => {
        range[name] = Number(slider.value);
        remember(name, range[name]);
        spectrogram.range = range;
        show();
      });
    }
    hold.addEventListener("click", () => {
      spectrogram.paused = !spectrogram.paused;
      hold.setAttribute("aria-pressed", spectrogram.paused);
    });
    save.addEventListener("click", () => {
      snapshot(canvas, this.#root.querySelector("h1").textContent, spectrogram.wall);
    });
    canvas.addEventListener("pointermove", (event) => {
      const place = spectrogram.at(event.offsetX, event.offsetY);
      const parts = place ? [hertz(place.frequency), place.time && messages.clock(place.time)] : [];
      set(cursor, parts.filter(Boolean).join(" · "));
    });
    canvas.addEventListener("pointerleave", () => set(cursor, ""));
  }
}

// What has not changed is not said again to those who hear the page.
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
