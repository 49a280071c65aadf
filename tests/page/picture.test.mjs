// What is shown: the spectrogram is correct, the page is accessible, and the layout fits.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, Visitor } from "./browser.mjs";
import { NETWORK, repository, Station, tone, until } from "./station.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const SCREENSHOTS = repository("target/page");
// From 2 kHz to 10 kHz in 4 s, repeatedly.
const SWEEP = "aevalsrc='0.3*sin(2*PI*(2000*mod(t,4)+1000*mod(t,4)*mod(t,4)))':s=48000";
const CONFIG = `
[webrtc]
listen = "${NETWORK}:0"
[mount-defaults]
# Ends soon after its source, but not because a busy machine keeps the source waiting.
gap_after = "2s"
hold = "100ms"
`;
const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };

let browser;
let station;
before(async () => {
  await mkdir(SCREENSHOTS, { recursive: true });
  browser = await launch();
  station = await (await Station.start(CONFIG)).at(NETWORK).up();
});
after(async () => {
  await browser?.close();
  await station?.stop();
});

/** In the page: the most prominent frequency of each column of the spectrogram, from the left, or null. */
async function brightest(kind) {
  const { MARGIN } = await import(new URL("web/view/spectrogram.js", location.href).href);
  const { Scale } = await import(new URL("web/view/scale.js", location.href).href);
  const canvas = document.querySelector("canvas");
  const ratio = canvas.width / canvas.clientWidth;
  const width = Math.floor(canvas.clientWidth - MARGIN.left - MARGIN.right);
  const height = Math.floor((canvas.clientHeight - MARGIN.top - MARGIN.bottom) * ratio);
  const scale = new Scale(kind, 24_000);
  const night = matchMedia("(prefers-color-scheme: dark)").matches;
  const image = canvas.getContext("2d").getImageData(MARGIN.left * ratio, MARGIN.top * ratio, width * ratio, height);
  return Array.from({ length: width }, (_, x) => {
    let [row, most] = [0, 0];
    for (let y = 0; y < height; y += 1) {
      const at = (y * image.width + Math.floor(x * ratio)) * 4;
      const sum = image.data[at] + image.data[at + 1] + image.data[at + 2];
      const light = night ? sum : 765 - sum;
      if (light > most) [row, most] = [y, light];
    }
    return most > 450 ? scale.frequency(1 - (row + 0.5) / height) : null;
  });
}

/** How many columns rise as the sweep does, by 2 kHz per second, at `rate` columns per second. */
function rising(columns, rate) {
  let count = 0;
  const span = 30;
  for (let i = span; i < columns.length; i += 1) {
    if (columns[i] === null || columns[i - span] === null) continue;
    if (Math.abs(columns[i] - columns[i - span] - (2000 * span) / rate) < 200) count += 1;
  }
  return count;
}

for (const [preference, how] of Object.entries({ sound: "packets of WebRTC", picture: "the stream" })) {
  test(`the spectrogram shows a swept tone at its frequency, on both axes: ${how}`, () => sweep(preference));
}

async function sweep(preference) {
  const source = station.push("/sweep.opus", SWEEP);
  const visitor = await Visitor.open(browser, station.url(), { viewport: DESKTOP, colorScheme: "dark" });
  await visitor.part("prefer").selectOption(preference);
  await visitor.microphone("/sweep.opus").click();
  const seen = (kind) => visitor.page.evaluate(brightest, kind);
  const enough = (columns) => rising(columns, 60) > 400;
  await until(async () => enough(await seen("linear")), "a sweep on the linear axis");
  await visitor.part("hold").click();
  const columns = (await seen("linear")).filter((frequency) => frequency !== null);
  assert.ok(Math.min(...columns) > 1_700 && Math.max(...columns) < 10_300, `${Math.min(...columns)} to ${Math.max(...columns)}`);
  assert.ok(columns.some((frequency) => frequency < 2_500) && columns.some((frequency) => frequency > 9_500));
  // A paused spectrogram stays, and can be drawn on the other axis.
  const paused = await seen("linear");
  await visitor.part("kind").selectOption("log");
  const redrawn = await seen("log");
  assert.ok(enough(redrawn), `${rising(redrawn, 60)} columns rise`);
  await visitor.part("kind").selectOption("linear");
  assert.deepEqual(await seen("linear"), paused);
  await visitor.part("hold").click();
  await until(async () => (await seen("linear")).join() !== paused.join(), "it goes on");
  // The range: with a floor above everything, the spectrogram is dark.
  await visitor.part("ceiling").fill("0");
  await visitor.part("floor").fill("-60");
  await until(async () => (await seen("linear")).filter((frequency) => frequency !== null).length < 400, "a darker spectrogram");
  await visitor.close();
  await source.stop();
}

test("on opening, the picture has what was before", async () => {
  const source = station.push("/past.opus", SWEEP);
  const inMemory = async () => {
    const answer = await fetch(`http://${NETWORK}:${station.port}/api/v1/mounts/past.opus/clock`);
    const { held } = answer.ok ? await answer.json() : {};
    return held ? Date.parse(held.to) - Date.parse(held.from) : 0;
  };
  await until(async () => (await inMemory()) > 8_000, "some seconds in memory");
  const visitor = await Visitor.open(browser, station.url(), { viewport: DESKTOP, colorScheme: "dark" });
  await visitor.part("prefer").selectOption("picture");
  await visitor.microphone("/past.opus").click();
  const clicked = performance.now();
  await until(async () => {
    const columns = rising(await visitor.page.evaluate(brightest, "linear"), 60);
    // More than there were since.
    return columns > 240 + ((performance.now() - clicked) * 60) / 1000;
  }, "what was before", 10_000);
  await visitor.close();
  await source.stop();
});

test("the spectrogram can be saved", async () => {
  const source = station.push("/keep.opus", tone(3000), { name: "Old oak" });
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/keep.opus").click();
  await visitor.hears(3000);
  const download = visitor.page.waitForEvent("download");
  await visitor.part("save").click();
  const file = await download;
  assert.match(file.suggestedFilename(), /^Old-oak-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.png$/);
  await file.saveAs(join(SCREENSHOTS, "kept.png"));
  await visitor.close();
  await source.stop();
});

test("the level meter shows the level and holds the peak", async () => {
  // FFmpeg's sine has an eighth of full scale: -18 dB.
  const source = station.push("/level.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/level.opus").click();
  await until(async () => {
    const level = Number(await visitor.part("meter").getAttribute("aria-valuenow"));
    return Math.abs(level + 18) <= 1;
  }, "-18 dB");
  await visitor.close();
  await source.stop();
});

test("with reduced motion, the spectrogram moves once per second", async () => {
  const source = station.push("/still.opus", SWEEP);
  const visitor = await Visitor.open(browser, station.url(), { reducedMotion: "reduce" });
  await visitor.microphone("/still.opus").click();
  await visitor.says(/^Live/);
  const pictures = await visitor.page.evaluate(async () => {
    const canvas = document.querySelector("canvas");
    const seen = new Set();
    const end = performance.now() + 3000;
    while (performance.now() < end) {
      await new Promise(requestAnimationFrame);
      seen.add(canvas.toDataURL());
    }
    return seen.size;
  });
  assert.ok(pictures >= 2 && pictures <= 5, `${pictures} pictures in 3 s`);
  await visitor.close();
  await source.stop();
});

async function accessible(visitor, where) {
  await visitor.page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished)));
  const { violations, passes } = await visitor.page.evaluate(() =>
    globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  assert.ok(passes.length > 10, "nothing was looked at");
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(found, [], where);
}

for (const colorScheme of ["dark", "light"]) {
  test(`axe finds nothing, ${colorScheme}`, async () => {
    const sources = [station.push("/a.opus", SWEEP), station.push("/b.opus", tone(1000))];
    // The test injects a script, which the page's policy blocks; the other tests check that policy.
    const options = { colorScheme, bypassCSP: true, prepare: { path: AXE } };
    const visitor = await Visitor.open(browser, station.url(), options);
    await visitor.microphone("/b.opus").waitFor();
    await accessible(visitor, "before anything is played");
    await visitor.microphone("/a.opus").click();
    await visitor.says(/^Live/);
    await accessible(visitor, "playing");
    await visitor.page.click("#share");
    await accessible(visitor, "sharing");
    await visitor.page.keyboard.press("Escape");
    await visitor.page.evaluate(() => document.querySelector("#login").showModal());
    await visitor.page.evaluate(() => (document.querySelector("#login-title").textContent = "a"));
    await visitor.page.evaluate(() => (document.querySelector("#login-kind").textContent = "Password"));
    await accessible(visitor, "login");
    await visitor.page.goto(station.url("embed?mount=/a.opus"));
    await visitor.part("play").click();
    await visitor.says(/^Live/);
    await accessible(visitor, "embedded");
    await visitor.close();
    await Promise.all(sources.map((source) => source.stop()));
  });
}

for (const [name, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  for (const colorScheme of ["dark", "light"]) {
    test(`everything fits: ${name}, ${colorScheme}`, async () => {
      const sources = [
        station.push("/mic-a.opus", SWEEP, { name: "A pond with a rather long name, north of the old mill" }),
        station.push("/mic-b.opus", tone(1000)),
      ];
      const visitor = await Visitor.open(browser, station.url(), { viewport, colorScheme });
      await visitor.microphone("/mic-a.opus").click();
      await until(async () => rising(await visitor.page.evaluate(brightest, "linear"), 60) > 100, "a spectrogram");
      const wide = await visitor.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.equal(wide, 0, "it scrolls sideways");
      // The play button is visible without scrolling.
      const play = await visitor.part("play").boundingBox();
      assert.ok(play.y + play.height <= viewport.height, `${play.y}`);
      const small = await visitor.page.evaluate(() =>
        [...document.querySelectorAll("button, select, input")]
          .filter((one) => one.checkVisibility())
          .filter((one) => Math.min(one.offsetWidth, one.offsetHeight) < 24)
          .map((one) => one.outerHTML),
      );
      assert.deepEqual(small, [], "too small for a finger");
      await visitor.page.screenshot({ path: join(SCREENSHOTS, `${name}-${colorScheme}.png`) });
      await visitor.close();
      await Promise.all(sources.map((source) => source.stop()));
    });
  }
}
