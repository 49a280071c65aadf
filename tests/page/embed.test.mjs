// The player in pages of other sites: its options, its messages, and the element made of them.

import assert from "node:assert/strict";
import http from "node:http";
import { once } from "node:events";
import { after, test } from "node:test";
import { Visitor } from "./browser.mjs";
import { browser, station } from "./pond.mjs";
import { until } from "./station.mjs";

/** Opens a page of another site with this content. */
async function open(content) {
  const server = http.createServer((_, response) => {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(`<!doctype html><title>Elsewhere</title>${content}`);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  after(() => server.close());
  return Visitor.open(browser, `http://127.0.0.1:${server.address().port}/`);
}

const frame = (options = "") => `<iframe src="${station.url(`embed?mount=/mic.opus${options}`)}" width="480" height="320" allow="autoplay"></iframe>`;

test("a frame has the parts and the colours that it was asked for", async () => {
  const visitor = await open(frame() + frame("&controls=0&theme=light") + frame("&spectrogram=0&theme=dark"));
  const parts = [];
  for (const index of [0, 1, 2]) {
    const inside = visitor.page.frameLocator("iframe").nth(index);
    await inside.locator("h1", { hasText: "Pond" }).waitFor();
    parts.push({
      play: await inside.locator("[data-part=play]").isVisible(),
      picture: await inside.locator("canvas").isVisible(),
      ground: await inside.locator("html").evaluate((root) => getComputedStyle(root).backgroundColor),
    });
  }
  const [light, dark] = ["rgb(243, 241, 232)", "rgb(14, 21, 19)"];
  assert.deepEqual(parts, [
    { play: true, picture: true, ground: light },
    { play: false, picture: true, ground: light },
    { play: true, picture: false, ground: dark },
  ]);
  await visitor.close();
});

test("the element plays, says what happens, and stops", async () => {
  const visitor = await open(`
    <script src="${station.url("web/player.js")}"></script>
    <silvacast-player src="${station.url("mic.opus")}" controls="0"></silvacast-player>
    <button>Play</button>`);
  await visitor.page.evaluate(() => {
    const player = document.querySelector("silvacast-player");
    globalThis.states = [];
    player.addEventListener("statechange", ({ detail }) => globalThis.states.push(detail.state));
    document.querySelector("button").addEventListener("click", () => player.play());
  });
  const inside = visitor.page.frameLocator("silvacast-player iframe");
  await inside.locator("h1", { hasText: "Pond" }).waitFor();
  const state = () => visitor.page.evaluate(() => {
    const { state: now, message, behind, peak } = document.querySelector("silvacast-player");
    return { now, message, behind, peak };
  });
  await visitor.page.click("button");
  await until(async () => (await state()).peak > 0.1, "a level");
  const { now, message, behind } = await state();
  assert.deepEqual([now, message], ["playing", "Live"]);
  assert.ok(behind > 0 && behind < 3, `${behind} s`);
  await visitor.page.evaluate(() => {
    document.querySelector("silvacast-player").volume = 0.25;
  });
  // Half of the slider is a quarter of the amplitude.
  await visitor.page.evaluate(() => document.querySelector("silvacast-player").stop());
  await until(async () => (await state()).now === "idle", "it stops");
  const states = await visitor.page.evaluate(() => globalThis.states);
  assert.deepEqual(states.filter((one, i) => one !== states[i - 1]), ["idle", "connecting", "playing", "idle"]);
  // Another microphone: the same element, with another frame.
  await visitor.page.evaluate((src) => document.querySelector("silvacast-player").setAttribute("src", src), station.url("other.opus"));
  await inside.locator("h1", { hasText: "other" }).waitFor();
  await visitor.close();
});

test("a player obeys the window that it is in, and no other", async () => {
  const visitor = await open(frame() + frame());
  const first = visitor.page.frameLocator("iframe").nth(0);
  await first.locator("h1", { hasText: "Pond" }).waitFor();
  await visitor.page.frameLocator("iframe").nth(1).locator("h1", { hasText: "Pond" }).waitFor();
  const [, one, other] = visitor.page.frames();
  // From a frame beside it.
  await other.evaluate(() => parent.frames[0].postMessage({ silvacast: "play" }, "*"));
  // What is no command.
  await visitor.page.evaluate(() => {
    for (const message of [null, 1, "play", { silvacast: "eval" }, { silvacast: "volume", value: "loud" }]) frames[0].postMessage(message, "*");
  });
  await visitor.page.evaluate(() => frames[0].postMessage({ silvacast: "state" }, "*"));
  assert.equal(await one.locator("[data-part=play]").textContent(), "Listen");
  await visitor.page.evaluate(() => frames[0].postMessage({ silvacast: "play" }, "*"));
  await one.locator("[data-part=state]", { hasText: /^Live$/ }).waitFor();
  await visitor.close();
});

test("the share dialog shows the player as other sites have it", async () => {
  const visitor = await Visitor.open(browser, station.url("?mount=/mic.opus"));
  await visitor.page.locator("h1", { hasText: "Pond" }).waitFor();
  await visitor.page.click("#share");
  await visitor.page.click("#preview summary");
  await visitor.page.frameLocator("silvacast-player iframe").locator("h1", { hasText: "Pond" }).waitFor();
  await visitor.page.keyboard.press("Escape");
  assert.equal(await visitor.page.locator("silvacast-player").count(), 0);
  await visitor.close();
});
