// Whether the picture of a stream is true: in each browser, every column has the spectrum of its own time.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { Firefox } from "./firefox.mjs";
import { Station } from "./station.mjs";
import { WebKit } from "./webkit.mjs";

// A tone that rises by 1 kHz each second, from 1 kHz, and a click each second that has all frequencies.
const SECONDS = 6;
const SOUND = "0.2*sin(2*PI*(1000*t+500*t*t))+if(lt(mod(t,1),0.0005),0.7,0)";
const STEPS = 60; // per second
const BIN = 48_000 / 2048;
// Of a stream by FFmpeg: what the encoder needs before the first sample.
const PRE_SKIP = 312 / 48_000;

let station;
let file;
before(async () => {
  station = await (await Station.start()).up();
  const input = ["-f", "lavfi", "-i", `aevalsrc='${SOUND}':s=48000:d=${SECONDS}`];
  const output = ["-c:a", "libopus", "-b:a", "128k", "-page_duration", "20000", "-f", "ogg", "pipe:1"];
  file = execFileSync("ffmpeg", ["-v", "error", ...input, ...output], { maxBuffer: 1 << 26 }).toString("base64");
});
after(() => station?.stop());

/** In the page: the columns of a file, each with its number, its loudest bin and how loud its highest bins are. */
async function columnsOf(base64) {
  const { need } = await import(document.querySelector("script[type=module]").src);
  const { StreamPicture } = need("model/stream-picture.js");
  const { RECEIVED } = need("model/columns.js");
  const { Pages } = need("media/ogg.js");
  const { readHead, samples } = need("media/opus.js");
  const { LiveClock, ServerTime } = need("model/clock.js");
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const pages = new Pages().push(bytes);
  const nothing = { clip: async () => null, file: async () => null, begin: async () => null };
  const picture = new StreamPicture(nothing, new LiveClock(new ServerTime()));
  picture.head(readHead(pages[0].packets[0]));
  let end = 0;
  for (const page of pages.slice(2, -1)) {
    const packets = page.packets.map((data) => ({ data, samples: samples(data) }));
    const length = packets.reduce((sum, packet) => sum + packet.samples, 0);
    picture.packets(packets, page.granule - length);
    end = page.granule;
  }
  // The last portion is not full, so it is not decoded.
  const last = performance.now() + 30_000;
  while (picture.columns.end < end / 800 - 15 && performance.now() < last) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { columns } = picture;
  return Array.from({ length: columns.end }, (_, number) => number)
    .filter((number) => columns.state(number) === RECEIVED)
    .map((number) => {
      const column = columns.column(number);
      return [number, column.indexOf(Math.max(...column)), Math.max(...column.subarray(600, 800))];
    });
}

function judge(columns) {
  assert.ok(columns.length > (SECONDS - 1) * STEPS, `${columns.length} columns`);
  const clicks = [];
  for (const [number, loudest, high] of columns.slice(10)) {
    const time = (number + 0.5) / STEPS - PRE_SKIP;
    if (high > 110) clicks.push(time);
    // A click is louder than the tone.
    else assert.ok(Math.abs(loudest - (1000 + 1000 * time) / BIN) <= 1.5, `bin ${loudest} at ${time.toFixed(3)} s`);
  }
  const seconds = new Set(clicks.map(Math.round));
  assert.equal(seconds.size, SECONDS - 1, `clicks: ${clicks}`);
  for (const second of seconds) {
    const near = clicks.filter((time) => Math.round(time) === second);
    const middle = near.reduce((sum, time) => sum + time, 0) / near.length;
    assert.ok(Math.abs(middle - second) < 0.02, `a click at ${middle} s`);
  }
}

test("in Chromium, with a decoder for packets and without", async () => {
  const browser = await launch();
  // Only a secure context has the decoder.
  for (const [url, isSecure] of [[`http://127.0.0.1:${station.port}/`, true], [station.url(), false]]) {
    const page = await browser.newPage();
    await page.goto(url);
    assert.equal(await page.evaluate(() => "AudioDecoder" in globalThis), isSecure);
    judge(await page.evaluate(columnsOf, file));
    await page.close();
  }
  await browser.close();
});

test("in Firefox, with a decoder for packets and without", async () => {
  const firefox = await Firefox.start("() => {}");
  for (const [url, isSecure] of [[`http://127.0.0.1:${station.port}/`, true], [station.url(), false]]) {
    await firefox.goto(url);
    assert.equal(await firefox.evaluate(() => "AudioDecoder" in globalThis), isSecure);
    judge(await firefox.evaluate(columnsOf, file));
  }
  await firefox.close();
});

test("in WebKitGTK", async () => {
  const webkit = await WebKit.start();
  await webkit.goto(`http://127.0.0.1:${station.port}/`);
  judge(await webkit.evaluate(columnsOf, file));
  await webkit.close();
});
