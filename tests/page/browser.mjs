// Debian's Chromium, and pages in it that are observed: what they hear, and whether the browser had to block anything.

import assert from "node:assert/strict";
import { after } from "node:test";
import { chromium } from "playwright-core";
import { HOST, PATIENCE, until } from "./station.mjs";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-quic",
  "--disable-background-networking",
  "--no-first-run",
  "--autoplay-policy=no-user-gesture-required",
  `--host-resolver-rules=MAP ${HOST} 127.0.0.1`,
];

const running = new Set();
after(() => Promise.all([...running].map((browser) => browser.close())));

export async function launch() {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ARGUMENTS });
  running.add(browser);
  return browser;
}

/** Runs in a page before its scripts: records what is played and analysed. Also used for Firefox. */
export function listenIn() {
  const ear = { analysers: [], received: [], elements: new Set(), forbidden: [] };
  globalThis.ear = ear;
  const { createAnalyser } = BaseAudioContext.prototype;
  BaseAudioContext.prototype.createAnalyser = function () {
    const analyser = createAnalyser.call(this);
    ear.analysers.push(analyser);
    return analyser;
  };
  // What WebRTC receives is heard, but not always analysed by the page.
  const { createMediaStreamSource } = AudioContext.prototype;
  AudioContext.prototype.createMediaStreamSource = function (stream) {
    const source = createMediaStreamSource.call(this, stream);
    const analyser = createAnalyser.call(this);
    analyser.smoothingTimeConstant = 0;
    source.connect(analyser);
    ear.received.push(analyser);
    return source;
  };
  const { play } = HTMLMediaElement.prototype;
  HTMLMediaElement.prototype.play = function () {
    ear.elements.add(this);
    return play.call(this);
  };
  document.addEventListener("securitypolicyviolation", (event) => {
    ear.forbidden.push(`${event.violatedDirective} ${event.blockedURI}`);
  });
}

/**
 * In the page: the loudest frequency of what is shown (`analysers`) or of what comes by WebRTC (`received`), in Hz, or 0
 * for silence.
 */
export function loudest(what = "analysers") {
  const analyser = globalThis.ear[what].at(-1);
  if (!analyser) return 0;
  const spectrum = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(spectrum);
  const most = Math.max(...spectrum);
  return most > -50 ? (spectrum.indexOf(most) * analyser.context.sampleRate) / analyser.fftSize : 0;
}

/** In the page: notes when beeps begin to sound, as Unix time in milliseconds, in `ear.beeps`. See `loudest`. */
export function noteBeeps(what) {
  const { ear } = globalThis;
  ear.beeps = [];
  let quiet = 0;
  const samples = new Float32Array(2048);
  setInterval(() => {
    const analyser = ear[what].at(-1);
    if (!analyser) return;
    analyser.getFloatTimeDomainData(samples);
    const loud = samples.subarray(-256).some((sample) => Math.abs(sample) > 0.05);
    if (loud && quiet > 20) {
      ear.beeps.push({
        heard: performance.timeOrigin + performance.now(),
        said: document.querySelector("[data-part=behind]").textContent,
      });
    }
    quiet = loud ? 0 : quiet + 1;
  }, 5);
}

export class Visitor {
  static async open(browser, url, options = {}) {
    const { prepare, refuse = {}, ...rest } = options;
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...rest });
    const page = await context.newPage();
    const visitor = new Visitor();
    Object.assign(visitor, { page, context, errors: [], requests: [] });
    page.setDefaultTimeout(PATIENCE);
    page.on("pageerror", (error) => visitor.errors.push(error.stack));
    page.on("console", (message) => {
      // The browser logs failed requests as errors. Whether they were expected is for the test to decide.
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
        visitor.errors.push(message.text());
      }
    });
    page.on("request", (request) => visitor.requests.push(request.url()));
    if (rest.javaScriptEnabled !== false) await page.addInitScript(listenIn);
    if (prepare) await page.addInitScript(prepare);
    for (const [path, times] of Object.entries(refuse)) {
      // As the server does where an address has all its connections.
      const answer = { status: 429, headers: { "Retry-After": "10" }, body: "refused by the test" };
      await page.route(`**${path}`, (route) => route.fulfill(answer), { times });
    }
    await page.goto(url);
    return visitor;
  }

  part(name) {
    return this.page.locator(`[data-part=${name}]`);
  }

  microphone(mount) {
    return this.page.locator(`[data-mount="${mount}"] button`);
  }

  /** Waits until a microphone is listed as off. */
  async isOff(mount) {
    await this.page.locator(`[data-mount="${mount}"] .status`, { hasText: /^off$/ }).waitFor();
  }

  /** Waits until this tone is what is shown, or what comes by WebRTC. */
  async hears(frequency, what = "analysers") {
    let last;
    await until(async () => {
      last = await this.page.evaluate(loudest, what);
      return Math.abs(last - frequency) < 50;
    }, `${frequency} Hz`).catch(async (error) => {
      const says = await this.part("state").allTextContents();
      error.message += `; last ${last} Hz, and the page says: ${says}`;
      throw error;
    });
  }

  /** Waits for a message of the page about what is heard. */
  async says(words) {
    await this.page.locator("[data-part=state]", { hasText: words }).waitFor().catch(async (error) => {
      error.message += `; the page says: ${await this.part("state").allTextContents()}`;
      throw error;
    });
  }

  async close() {
    const forbidden = await this.page.evaluate(() => globalThis.ear?.forbidden ?? []);
    await this.context.close();
    assert.deepEqual(forbidden, [], "the browser blocked this");
    assert.deepEqual(this.errors, [], "errors in the page");
  }
}
