// The page as an application: it can be installed, opens when the server is away, plays on with the screen off, and says
// what a browser can do.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Visitor } from "./browser.mjs";
import { browser, pushPond, station } from "./pond.mjs";
import { until } from "./station.mjs";

/** Loopback is a secure context, as https is. */
const secure = (path = "") => `http://127.0.0.1:${station.port}/${path}`;

test("it can be installed", async () => {
  const visitor = await Visitor.open(browser, secure());
  const session = await visitor.context.newCDPSession(visitor.page);
  const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
  // Playwright's contexts are incognito windows, in which nothing can be installed.
  const errors = installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== "in-incognito");
  assert.deepEqual(errors, []);
  const { data, errors: wrong } = await session.send("Page.getAppManifest");
  assert.deepEqual([JSON.parse(data).display, wrong], ["standalone", []]);
  for (const icon of ["web/icon.png", "web/icon.svg"]) {
    assert.match((await fetch(secure(icon))).headers.get("content-type"), /^image\//);
  }
  await visitor.close();
});

test("it opens when the server is away, and goes on when the server is back", async () => {
  const visitor = await Visitor.open(browser, secure());
  await visitor.page.evaluate(() => navigator.serviceWorker.ready.then(() => null));
  await visitor.page.reload();
  await visitor.microphone("/mic.opus").waitFor();
  const { port } = station;
  await station.down();
  await visitor.page.reload();
  await visitor.page.locator("#overview", { hasText: "The server does not respond" }).waitFor();
  assert.equal(await visitor.part("live").isVisible(), false);
  await station.up(port);
  pushPond();
  await visitor.microphone("/mic.opus").click();
  await visitor.says(/^Live/);
  // What is kept is the page and its files, and no audio.
  const kept = await visitor.page.evaluate(async () => {
    const cache = await caches.open("page");
    return (await cache.keys()).map(({ url }) => new URL(url).pathname.replace(/[0-9a-f]{8}/, "V"));
  });
  assert.ok(kept.includes("/") && kept.every((path) => path === "/" || path.startsWith("/web/V/")), kept.join());
  await visitor.close();
});

test("the browser's own player goes on with the screen off, without a click", async () => {
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/mic.opus").click();
  await visitor.says(/^Live$/);
  await visitor.part("prefer").selectOption("screen-off");
  await visitor.says(/also with the screen off/);
  const sources = () => visitor.page.evaluate(() => [...globalThis.ear.elements].filter((one) => !one.paused).map((one) => one.src));
  await until(async () => (await sources()).some((url) => url.endsWith("/mic.opus")), "the stream in an element");
  await visitor.part("prefer").selectOption("sound");
  await visitor.says(/^Live$/);
  assert.ok((await sources()).every((url) => !url.endsWith("/mic.opus")));
  await visitor.close();
});

test("a report says what the browser can do, and what it heard", async () => {
  const visitor = await Visitor.open(browser, station.url("?probe"));
  await visitor.microphone("/mic.opus").click();
  const text = () => visitor.page.locator("#probe").textContent();
  await until(async () => /seconds with sound: [1-9]\d* in the packets, [1-9]\d* in the audio graph/.test(await text()), "sound in the report");
  const report = await text();
  assert.match(report, /Chrome\//);
  assert.match(report, /audio\/webm; codecs="opus": MSE, element probably/);
  assert.match(report, /state: playing, by stream/);
  await visitor.close();
});
