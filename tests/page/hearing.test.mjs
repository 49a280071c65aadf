// What is heard: gain, filters and even loudness do what they say, nothing clicks, and the keys work.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, Visitor } from "./browser.mjs";
import { Station, tone, until } from "./station.mjs";

// More than the codec makes of a tone, and much less than a step makes.
const CLICK = 0.02;

const CODEC = { codec: ["libopus", "-b:a", "128k"] };

let browser;
let station;
before(async () => {
  browser = await launch();
  station = await (await Station.start()).up();
});
after(async () => {
  await browser?.close();
  await station?.stop();
});

/**
 * Runs in a page before its scripts: measures what goes to the loudspeaker, which has a tone of 440 Hz. A worklet does
 * not lose any of it.
 */
function measure() {
  const { connect } = AudioNode.prototype;
  const meter = `registerProcessor("meter", class extends AudioWorkletProcessor {
    before = [0, 0];
    blocks = 0;
    found = { power: 0, peak: 0, click: 0 };
    process([[samples]]) {
      for (const sample of samples ?? []) {
        // What is left of a tone whose loudness changes slowly; a step leaves as much as its height.
        const left = sample - 2 * Math.cos(2 * Math.PI * 440 / sampleRate) * this.before[0] + this.before[1];
        this.found.click = Math.max(this.found.click, Math.abs(left));
        this.found.peak = Math.max(this.found.peak, Math.abs(sample));
        this.found.power += sample * sample / (75 * 128);
        this.before = [sample, this.before[0]];
      }
      this.blocks += 1;
      // Five times a second.
      if (this.blocks % 75 === 0) {
        this.port.postMessage(this.found);
        this.found = { power: 0, peak: 0, click: 0 };
      }
      return true;
    }
  });`;
  globalThis.measured = [];
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to instanceof AudioDestinationNode) {
      this.context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(meter)}`).then(() => {
        const node = new AudioWorkletNode(this.context, "meter");
        node.port.onmessage = ({ data }) => globalThis.measured.push(data);
        connect.call(this, node);
      });
    }
    return connect.call(this, to, ...rest);
  };
}

/** What was heard since the last call, once that is as many seconds. Loudness in dB, of all and of the last second. */
async function heard(visitor, seconds) {
  await until(async () => (await visitor.page.evaluate(() => globalThis.measured.length)) >= seconds * 5, `${seconds} s of sound`);
  const found = await visitor.page.evaluate(() => globalThis.measured.splice(0));
  const loudness = (parts) => 10 * Math.log10(parts.reduce((sum, { power }) => sum + power, 0) / parts.length + 1e-12);
  const most = (name) => Math.max(...found.map((part) => part[name]));
  return { loudness: loudness(found), last: loudness(found.slice(-5)), peak: most("peak"), click: most("click") };
}

/**
 * Leaves two seconds in the player's buffer and plays them at normal speed: how it stays near live, and what a busy
 * machine does to that, is heard too, and is not what is measured here.
 */
async function steady(visitor) {
  await visitor.page.route("**?burst=0ms", (route) => route.continue({ url: route.request().url().replace("0ms", "2s") }));
  await visitor.page.evaluate(async () => {
    const { need } = await import(document.querySelector("script[type=module]").src);
    need("media/catch-up.js").CatchUp.prototype.arrived = () => 1;
  });
}

/** A visitor who hears these sounds, by mount; their names are those of the mounts. */
async function visit(sounds) {
  const sources = Object.entries(sounds).map(([name, sound]) => station.push(`/${name}.opus`, sound, CODEC));
  // Only a secure context has worklets, and the page's policy forbids this one.
  const visitor = await Visitor.open(browser, `http://127.0.0.1:${station.port}/`, { prepare: measure, bypassCSP: true });
  await steady(visitor);
  const end = async () => {
    await visitor.close();
    await Promise.all(sources.map((source) => source.stop()));
  };
  return { visitor, end };
}

/** What is heard in the next seconds, which has no click. */
async function clean(visitor, what, seconds = 1, most = CLICK) {
  const found = await heard(visitor, seconds);
  assert.ok(found.click < most, `${what}: ${found.click}`);
  return found;
}

const sine = (frequency, amplitude) => `aevalsrc='${amplitude}*sin(2*PI*${frequency}*t)':s=48000`;

test("gain adds what it says, a limiter keeps loud sound below full scale, and nothing clicks", async () => {
  const { visitor, end } = await visit({ soft: sine(440, 0.005), loud: sine(440, 0.4) });
  const set = (name, value) => visitor.part(name).evaluate((control, to) => {
    control.value = to;
    control.dispatchEvent(new Event("input", { bubbles: true }));
    control.dispatchEvent(new Event("change", { bubbles: true }));
  }, String(value));
  await visitor.microphone("/soft.opus").click();
  await visitor.says(/^Live$/);
  await heard(visitor, 1);
  const quiet = await heard(visitor, 1);
  assert.ok(Math.abs(quiet.loudness - -49) < 1, `${quiet.loudness} dB`);
  await set("gain", 20);
  await clean(visitor, "more gain");
  const louder = await heard(visitor, 1);
  assert.ok(Math.abs(louder.loudness - quiet.loudness - 20) < 1, `from ${quiet.loudness} to ${louder.loudness} dB`);

  // The other one has no gain, and the first one has it again.
  await visitor.microphone("/loud.opus").click();
  await visitor.says(/^Live$/);
  await clean(visitor, "another microphone", 2);
  assert.equal(await visitor.part("gain").inputValue(), "0");
  const plain = await heard(visitor, 1);
  assert.ok(Math.abs(plain.loudness - -11) < 1, `${plain.loudness} dB`);
  await set("gain", 30);
  await clean(visitor, "the limiter", 1, 1);
  const limited = await heard(visitor, 1);
  assert.ok(limited.peak < 1 && limited.loudness > -9, `${limited.peak}, ${limited.loudness} dB`);
  await set("gain", 0);
  await clean(visitor, "no gain");

  await visitor.microphone("/soft.opus").click();
  assert.equal(await visitor.part("gain").inputValue(), "20");
  await visitor.page.reload();
  await steady(visitor);
  await visitor.microphone("/soft.opus").click();
  assert.equal(await visitor.part("gain").inputValue(), "20");
  await visitor.says(/^Live$/);
  await heard(visitor, 1);
  assert.ok(Math.abs((await heard(visitor, 1)).loudness - louder.loudness) < 1);

  // Even loudness: the gain rises until it is as loud as others.
  await set("gain", 0);
  await set("even", "even");
  const even = await clean(visitor, "even loudness", 8);
  assert.ok(Math.abs(even.last - -26) < 4, `${even.last} dB`);
  await end();
});

test("filters take away what is below and above them, and nothing clicks", async () => {
  const { visitor, end } = await visit({ mixed: sine(440, 0.3) });
  const set = (name, value) => visitor.part(name).selectOption(value);
  await visitor.microphone("/mixed.opus").click();
  await visitor.says(/^Live$/);
  await heard(visitor, 1);
  const plain = await heard(visitor, 1);
  for (const [name, value, least, most] of [
    ["high-pass", "2000", 45, 80], ["high-pass", "1000", 24, 40], ["high-pass", "100", -0.5, 0.5], ["high-pass", "0", -0.5, 0.5],
    ["low-pass", "2000", -0.5, 0.5], ["low-pass", "0", -0.5, 0.5],
  ]) {
    await set(name, value);
    await clean(visitor, `${name} ${value}`);
    const less = plain.loudness - (await heard(visitor, 1)).loudness;
    assert.ok(less > least && less < most, `${name} ${value}: ${less.toFixed(1)} dB less`);
  }
  await end();
});

test("nothing clicks when sound begins, is muted, is heard again and ends", async () => {
  const { visitor, end } = await visit({ steady: sine(440, 0.3) });
  await visitor.microphone("/steady.opus").click();
  await visitor.says(/^Live$/);
  await clean(visitor, "at the beginning", 2);
  await visitor.part("mute").click();
  await heard(visitor, 1);
  assert.ok((await clean(visitor, "muted")).loudness < -60);
  await visitor.part("mute").click();
  await clean(visitor, "heard", 1);
  await visitor.part("volume").fill("50");
  await clean(visitor, "with another volume", 1);
  await visitor.part("volume").fill("100");
  // Ten seconds are not there yet, so it is what there is.
  await visitor.part("again").click();
  await until(async () => parseFloat(await visitor.part("behind").textContent()) > 5, "what was before");
  await visitor.part("to-live").click();
  await until(async () => parseFloat(await visitor.part("behind").textContent()) < 4, "live");
  await clean(visitor, "heard again, and back to live", 2);
  await visitor.part("play").click();
  await clean(visitor, "stopped", 1);
  // A click would be found.
  await visitor.page.evaluate(() => {
    const { context } = globalThis.ear.analysers.at(-1);
    const step = new ConstantSourceNode(context, { offset: 0 });
    step.connect(context.destination);
    step.offset.setValueAtTime(0.1, context.currentTime + 1);
    step.start();
  });
  assert.ok((await heard(visitor, 4)).click > CLICK);
  await end();
});

test("the keys do what their sheet says", async () => {
  const alone = await (await Station.start()).up();
  const sources = [alone.push("/a.opus", tone(1000)), alone.push("/b.opus", tone(2000))];
  const visitor = await Visitor.open(browser, alone.url());
  await visitor.microphone("/b.opus").waitFor();
  const press = (key) => visitor.page.keyboard.press(key);
  await press("?");
  const sheet = visitor.page.locator("#keys");
  assert.match(await sheet.textContent(), /Listen or stop.*Mute.*Next microphone/s);
  // It is closed by the keyboard too, and no key works behind it.
  await press("m");
  await press("Escape");
  await sheet.waitFor({ state: "hidden" });
  const pressed = (name) => visitor.part(name).getAttribute("aria-pressed");
  assert.equal(await pressed("mute"), "false");
  await press(" ");
  await visitor.hears(1000);
  await press("n");
  await visitor.hears(2000);
  await press("n");
  await visitor.hears(1000);
  await press("p");
  await visitor.hears(2000);
  await press("m");
  assert.equal(await pressed("mute"), "true");
  await press("m");
  await press("h");
  assert.equal(await pressed("hold"), "true");
  await press("l");
  assert.equal(await pressed("hold"), "false");
  await press("ArrowLeft");
  assert.equal(await pressed("hold"), "true");
  await press("ArrowRight");
  await press("h");
  await press("f");
  await until(() => visitor.page.evaluate(() => document.fullscreenElement?.className === "picture"), "full screen");
  await press("f");
  await until(() => visitor.page.evaluate(() => document.fullscreenElement === null), "the page");
  await until(async () => parseFloat(await visitor.part("behind").textContent()) < 1.5, "live");
  await until(async () => {
    const { held } = await (await fetch(`http://127.0.0.1:${alone.port}/api/v1/mounts/b.opus/clock`)).json();
    return Date.parse(held.to) - Date.parse(held.from) > 5_000;
  }, "some seconds in memory");
  await press("r");
  await until(async () => parseFloat(await visitor.part("behind").textContent()) > 3, "the last seconds");
  await press("l");
  // Letters in a list choose there.
  await visitor.part("kind").focus();
  await press("k");
  assert.equal(await visitor.part("play").textContent(), "Stop");
  await visitor.page.evaluate(() => document.activeElement.blur());
  await press("k");
  await until(async () => (await visitor.part("play").textContent()) === "Listen", "it stops");
  await visitor.close();
  await Promise.all(sources.map((source) => source.stop()));
  await alone.stop();
});
