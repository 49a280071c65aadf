// Whether the picture of what is live is true in each browser: at the right frequency, at the right time, and the same
// at another speed of playback, in a hidden page, and across a restart of the source.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { Firefox } from "./firefox.mjs";
import { Station, until } from "./station.mjs";
import { WebKit } from "./webkit.mjs";

// A tone that rises by 1 kHz each second, from 1 to 9 kHz, and a click each second that has all frequencies.
const PERIOD = 8;
const SOUND = `aevalsrc='0.2*sin(2*PI*(1000*mod(t,${PERIOD})+500*mod(t,${PERIOD})*mod(t,${PERIOD})))+if(lt(mod(t,1),0.0005),0.7,0)':s=48000`;
const CODEC = { codec: ["libopus", "-b:a", "128k", "-page_duration", "20000"] };
const STEPS = 60; // per second
const BIN = 48_000 / 2048;
const CONFIG = `
[mount-defaults]
gap_after = "1s"
hold = "30s"
ring = "2MiB"
`;

let station;
before(async () => {
  station = await (await Station.start(CONFIG)).up();
});
after(() => station?.stop());

/** In the page: remembers its picture, and lets a test play at another speed and hide the page. */
async function watch() {
  const { need } = await import(document.querySelector("script[type=module]").src);
  globalThis.need = need;
  const { StreamPicture } = need("model/stream-picture.js");
  const { packets } = StreamPicture.prototype;
  StreamPicture.prototype.packets = function (...args) {
    globalThis.picture = this;
    globalThis.packets = (globalThis.packets ?? 0) + args[0].length;
    return packets.apply(this, args);
  };
  const { set, get } = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "playbackRate");
  Object.defineProperty(HTMLMediaElement.prototype, "playbackRate", {
    get,
    set(rate) {
      set.call(this, globalThis.rate ?? rate);
    },
  });
  const { play } = HTMLMediaElement.prototype;
  HTMLMediaElement.prototype.play = function () {
    globalThis.element = this;
    return play.call(this);
  };
  // A hidden page gets no frames.
  const { requestAnimationFrame } = globalThis;
  globalThis.requestAnimationFrame = (work) =>
    requestAnimationFrame((now) => (globalThis.isHidden ? globalThis.requestAnimationFrame(work) : work(now)));
}

/** In the page: hides it, or shows it again. Returns how many packets have come until now. */
function hide(isHidden) {
  globalThis.isHidden = isHidden;
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
  return globalThis.packets;
}

/** In the page: sets the speed of what is played, or lets the page choose it again. */
function setRate(rate) {
  globalThis.rate = rate;
  const { element } = globalThis;
  if (element) element.playbackRate = rate ?? 1;
  return element?.playbackRate ?? null;
}

function press(mount) {
  document.querySelector(`[data-mount="${mount}"] button`).click();
}

/** In the page: the newest columns, each with its number, its time, its loudest bin and how loud its highest bins are. */
function columnsOf(seconds) {
  const { RECEIVED, MISSING } = globalThis.need("model/columns.js");
  const { picture } = globalThis;
  if (!picture) return [];
  const { columns } = picture;
  const found = [];
  for (let number = Math.max(0, columns.end - seconds * 60); number < columns.end; number += 1) {
    const state = columns.shown(number);
    const column = state === RECEIVED ? columns.column(number) : [];
    found.push({
      number,
      time: picture.time(number),
      missing: state === MISSING,
      loudest: column.indexOf(Math.max(...column)),
      high: state === RECEIVED ? Math.max(...column.subarray(600, 800)) : 0,
    });
  }
  return found;
}

/** The times of clicks in the picture: of the middle of the columns that each of them is in. */
function clicksIn(columns) {
  const clicks = [];
  let group = [];
  for (const column of [...columns, { high: 0 }]) {
    if (column.high > 110) group.push(column);
    else if (group.length > 0) {
      const middle = (list) => (list[0] + list.at(-1)) / 2;
      clicks.push({
        step: middle(group.map(({ number }) => number)) + 0.5,
        time: middle(group.map(({ time }) => time)) + 500 / STEPS,
      });
      group = [];
    }
  }
  // One at the edge is not complete.
  return clicks.filter(({ step }) => step > columns[0].number + 5 && step < columns.at(-1).number - 5);
}

/** Where in the sound the beginning of the steps is, in seconds: all columns must agree. */
function agree(columns, what) {
  const clicks = clicksIn(columns);
  const tones = columns.filter(({ number, high }) => high <= 110 && clicks.every(({ step }) => Math.abs(step - number) > 4));
  const wrap = (value, period) => value - period * Math.round(value / period);
  const guess = (column) => (column.loudest * BIN - 1000) / 1000 - (column.number + 0.5) / STEPS;
  // Where the tone falls back, a spectrum has both ends of it.
  const steady = tones.filter(({ loudest }) => loudest * BIN > 1_200 && loudest * BIN < 8_800);
  assert.ok(steady.length > columns.length / 2, `${what}: ${steady.length} of ${columns.length} columns have the tone`);
  const [first] = steady;
  const offsets = steady.map((column) => wrap(guess(column) - guess(first), PERIOD)).sort((a, b) => a - b);
  const origin = guess(first) + offsets[Math.floor(offsets.length / 2)];
  for (const column of steady) {
    const off = wrap(guess(column) - origin, PERIOD) * 1000;
    assert.ok(Math.abs(off) <= BIN, `${what}: off by ${off.toFixed(0)} Hz at step ${column.number}`);
  }
  assert.ok(clicks.length >= Math.floor(columns.length / STEPS) - 2, `${what}: ${clicks.length} clicks`);
  // What FFmpeg's encoder needs before the first sample is the same for both, so clicks have a place of their own.
  const places = clicks.map(({ step }) => step / STEPS - clicks[0].step / STEPS);
  for (const place of places) assert.ok(Math.abs(wrap(place, 1)) < 0.02, `${what}: a click at ${place.toFixed(3)} s`);
  const early = wrap(clicks[0].step / STEPS + origin, 1);
  assert.ok(Math.abs(early) < 0.03, `${what}: clicks and tone are apart by ${early.toFixed(3)} s`);
  return clicks;
}

/** When the clicks were, according to the server: in a clip, which has its time to the millisecond. */
async function clicksOfServer(mount, from, to) {
  const query = new URLSearchParams({ from: new Date(from).toISOString(), to: new Date(to).toISOString() });
  let answer;
  await until(async () => {
    answer = await fetch(`http://127.0.0.1:${station.port}${mount}?${query}`);
    return answer.ok;
  }, "the end of the clip");
  const file = Buffer.from(await answer.arrayBuffer());
  const samples = execFileSync("ffmpeg", ["-v", "error", "-i", "pipe:0", "-f", "f32le", "-ac", "1", "pipe:1"], {
    input: file,
    maxBuffer: 1 << 26,
  });
  const sound = new Float32Array(samples.buffer, samples.byteOffset, samples.length / 4);
  const clicks = [];
  let last = -Infinity;
  for (let i = 0; i < sound.length; i += 1) {
    if (Math.abs(sound[i]) < 0.4) continue;
    if (i - last > 24_000) clicks.push(from + i / 48);
    last = i;
  }
  return clicks;
}

async function judge(browser, name, url = station.url()) {
  const mount = `/${name}.opus`;
  const source = station.push(mount, SOUND, CODEC);
  // As much as is judged is before the click, and after it.
  await until(async () => {
    const answer = await fetch(`http://127.0.0.1:${station.port}/api/v1/mounts/${name}.opus/clock`);
    const { held } = answer.ok ? await answer.json() : {};
    return held && Date.parse(held.to) - Date.parse(held.from) > 6_000;
  }, "some seconds in memory");
  const listen = async () => {
    await browser.goto(url);
    await browser.evaluate(watch);
    await until(() => browser.evaluate((selector) => document.querySelector(selector) !== null, `[data-mount="${mount}"]`), "the list");
    await browser.evaluate(press, mount);
  };
  await listen();
  const newest = async () => (await browser.evaluate(columnsOf, 1)).at(-1)?.number ?? 0;
  const pass = async (seconds) => {
    const begin = await newest();
    await until(async () => (await newest()) > begin + seconds * STEPS, `${seconds} s of the picture`);
  };

  const isReceived = ({ loudest }) => loudest >= 0;
  const enough = async () => (await browser.evaluate(columnsOf, 9)).filter(isReceived).length > 8.9 * STEPS;
  await until(enough, "the picture of what was before");
  const clicks = agree(await browser.evaluate(columnsOf, 9), "with what was before");
  const truth = await clicksOfServer(mount, clicks[0].time - 500, clicks.at(-1).time + 500);
  assert.equal(truth.length, clicks.length);
  for (const [i, { time }] of clicks.entries()) {
    assert.ok(Math.abs(time - truth[i]) < 20, `a click is shown ${(time - truth[i]).toFixed(0)} ms late`);
  }

  for (const rate of [1.08, 0.97]) {
    await browser.evaluate(setRate, rate);
    await pass(4);
    agree(await browser.evaluate(columnsOf, 4), `at a speed of ${rate}`);
    // It was not ignored.
    assert.equal(await browser.evaluate(setRate, rate), rate);
  }
  await browser.evaluate(setRate, null);

  // The graph's check needs the first seconds, also of a hidden page.
  await until(() => browser.evaluate(() => globalThis.packets > 600), "the first seconds");
  const seen = await newest();
  const packets = await browser.evaluate(hide, true);
  await until(() => browser.evaluate((begin) => globalThis.packets > begin + 250, packets), "five seconds, hidden");
  assert.ok((await newest()) < seen + STEPS, "a hidden page makes no picture");
  await browser.evaluate(hide, false);
  await until(async () => (await newest()) > seen + 5 * STEPS, "the picture of five seconds");
  agree(await browser.evaluate(columnsOf, 6), "while the page was hidden");

  await source.stop();
  const says = () => browser.evaluate(() => document.querySelector("[data-part=state]").textContent);
  await until(async () => (await says()).startsWith("No signal"), "no signal");
  const begun = (await browser.evaluate(columnsOf, 1)).at(-1).number;
  const second = station.push(mount, SOUND, CODEC);
  await until(async () => (await says()) === "Live", "the source again");
  await pass(5);
  const columns = await browser.evaluate(columnsOf, 20);
  const missing = columns.filter((column) => column.missing).map(({ number }) => number);
  assert.ok(missing.length > 0.9 * STEPS, `${missing.length} columns of the gap`);
  assert.ok(missing[0] < begun + STEPS, "it begins when the source went away");
  assert.equal(missing.at(-1) - missing[0], missing.length - 1, "it is in one piece");
  agree(columns.filter(({ number }) => number > missing.at(-1) + STEPS / 2), "after a restart of the source");
  agree(columns.filter(({ number }) => number < missing[0] - STEPS), "before it");

  // Whoever comes later is told, too.
  await listen();
  const gap = async () => (await browser.evaluate(columnsOf, 40)).filter((column) => column.missing).map(({ number }) => number);
  const isSame = (found) => Math.abs(found.length - missing.length) < STEPS / 4 && found.at(-1) - found[0] === found.length - 1;
  await until(async () => isSame(await gap()), "the same gap in what was before");
  await second.stop();
}

test("in Chromium", async () => {
  const browser = await launch();
  const page = await browser.newPage();
  await judge({ goto: (url) => page.goto(url), evaluate: (...args) => page.evaluate(...args) }, "chromium");
  await browser.close();
});

test("in Firefox", async () => {
  const firefox = await Firefox.start("() => {}");
  await judge(firefox, "firefox");
  await firefox.close();
});

test("in WebKitGTK", async () => {
  const webkit = await WebKit.start();
  // It has no name for this machine.
  await judge(webkit, "webkit", `http://127.0.0.1:${station.port}/`);
  await webkit.close();
});
