// Many microphones and many tabs on plain http, where a browser opens six connections to a server.

import http from "node:http";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, Visitor } from "./browser.mjs";
import { Firefox } from "./firefox.mjs";
import { HOST, Station, tone, until } from "./station.mjs";

const LISTENING = 5;
const IDLE = 20;
const EMBEDS = 12;

// All encoders and listeners have one address here.
const CONFIG = `
[limits]
sources = 16
connections_per_ip = 0
[mount-defaults]
gap_after = "1s"
hold = "100ms"
`;

let browser;
let station;
before(async () => {
  browser = await launch();
  station = await (await Station.start(CONFIG)).up();
});
after(async () => {
  await browser?.close();
  await station?.stop();
});

/** A site with embedded players of the first microphones. */
async function site(count) {
  const frames = Array.from({ length: count }, (_, i) => `<iframe src="${station.url(`embed?mount=/m${i}.opus`)}" width="300" height="200"></iframe>`);
  const server = http.createServer((_, response) => response.end(`<!doctype html><title>Wall</title>${frames.join("")}`));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

test("five tabs listen, twenty are idle, and a site embeds twelve players", async () => {
  const sources = Array.from({ length: EMBEDS }, (_, i) => station.push(`/m${i}.opus`, tone(500 + 100 * i), { name: `Microphone ${i}` }));
  const context = await browser.newContext();
  const open = async (url) => {
    const page = await context.newPage();
    await page.goto(url);
    return page;
  };
  const says = (page, words) => page.locator("[data-part=state]", { hasText: words }).waitFor({ timeout: 60_000 });
  const listening = [];
  for (let i = 0; i < LISTENING; i += 1) {
    const page = await open(station.url());
    await page.locator(`[data-mount="/m${i}.opus"] button`).click();
    await says(page, /^Live$/);
    listening.push(page);
  }
  const idle = [];
  for (let i = 0; i < IDLE; i += 1) idle.push(await open(station.url()));
  for (const page of idle) await page.locator('[data-mount="/m11.opus"] button').waitFor();
  const server = await site(EMBEDS);
  const wall = await open(`http://${HOST}:${server.address().port}/`);
  await until(() => wall.frames().length === EMBEDS + 1, "all frames");
  for (const frame of wall.frames().slice(1)) await frame.locator("h1", { hasText: "Microphone" }).waitFor();

  // What happens is told everywhere.
  await sources[11].stop();
  for (const page of [...idle, ...listening]) {
    await page.locator('[data-mount="/m11.opus"] .status', { hasText: /^off$/ }).waitFor();
  }
  for (const page of listening) await says(page, /^Live$/);

  // A sixth is told why it has to wait, and begins when another one stops.
  const [sixth] = idle;
  await sixth.locator('[data-mount="/m5.opus"] button').click();
  await says(sixth, "Five other tabs of this browser listen");
  await listening[0].locator("[data-part=play]").click();
  await says(sixth, /^Live$/);
  // So does one that is closed.
  await idle[1].locator('[data-mount="/m6.opus"] button').click();
  await says(idle[1], "Five other tabs");
  await listening[1].close();
  await says(idle[1], /^Live$/);
  await context.close();
  server.close();
  await Promise.all(sources.map((source) => source.stop()));
});

test("in Firefox, five tabs listen, ten are idle, and a sixth is told why it has to wait", async () => {
  const sources = Array.from({ length: LISTENING + 1 }, (_, i) => station.push(`/f${i}.opus`, tone(500 + 100 * i)));
  const firefox = await Firefox.start("() => {}");
  const open = async () => {
    const tab = await firefox.tab();
    await tab.goto(station.url());
    return tab;
  };
  const press = (tab, selector) =>
    until(
      () =>
        tab.evaluate((wanted) => {
          const button = document.querySelector(wanted);
          button?.click();
          return button !== null;
        }, selector),
      selector,
    );
  const state = () => document.querySelector("[data-part=state]").textContent;
  const says = (tab, words) => until(async () => (await tab.evaluate(state)).includes(words), words);
  const listening = [];
  for (let i = 0; i < LISTENING; i += 1) {
    const tab = await open();
    await press(tab, `[data-mount="/f${i}.opus"] button`);
    await says(tab, "Live");
    listening.push(tab);
  }
  const idle = [];
  for (let i = 0; i < 10; i += 1) idle.push(await open());
  // What happens is told everywhere.
  await sources[LISTENING].stop();
  const status = () => document.querySelector('[data-mount="/f5.opus"] .status')?.textContent;
  for (const tab of [...idle, ...listening]) await until(async () => (await tab.evaluate(status)) === "off", "off");
  for (const tab of listening) await says(tab, "Live");
  sources[LISTENING] = station.push(`/f${LISTENING}.opus`, tone(500));
  const [sixth] = idle;
  await until(async () => (await sixth.evaluate(status)) === "live", "live again");
  await press(sixth, '[data-mount="/f5.opus"] button');
  await says(sixth, "Five other tabs of this browser listen");
  await listening[0].close();
  await says(sixth, "Live");
  await firefox.close();
  await Promise.all(sources.map((source) => source.stop()));
});

test("idle pages hold one connection together", async () => {
  const context = await browser.newContext();
  const pages = [];
  for (let i = 0; i < 4; i += 1) {
    const page = await context.newPage();
    await page.goto(station.url());
    pages.push(page);
  }
  await pages[3].locator("#empty", { hasText: "No microphone" }).waitFor();
  // Established connections at the server's end.
  const port = station.port.toString(16).toUpperCase().padStart(4, "0");
  const connections = async () => {
    const lines = (await readFile("/proc/net/tcp", "utf8")).split("\n").map((line) => line.trim().split(/\s+/));
    return lines.filter(([, local, , state]) => local?.endsWith(`:${port}`) && state === "01").length;
  };
  await until(async () => (await connections()) === 1, "one connection");
  // The page that opened it is closed: the others still learn what happens.
  await pages[0].close();
  const source = station.push("/later.opus", tone(800));
  for (const page of pages.slice(1)) await page.locator('[data-mount="/later.opus"]').waitFor();
  await context.close();
  await source.stop();
  await until(async () => (await connections()) === 0, "no connection");
});

test("without a worker that pages share, each page has its own connection, and says why nothing comes", async () => {
  const source = station.push("/own.opus", tone(900));
  const prepare = () => {
    delete globalThis.SharedWorker;
  };
  const visitor = await Visitor.open(browser, station.url(), { prepare });
  await visitor.microphone("/own.opus").click();
  await visitor.hears(900);
  // A server that takes a connection and does not answer is like a browser that has no more connections.
  await visitor.page.route("**/own.opus?burst=0ms", () => {});
  await visitor.part("play").click();
  await visitor.part("play").click();
  await visitor.says("The server has not answered yet.");
  await visitor.close();
  const late = await Visitor.open(browser, "about:blank", { prepare });
  await late.page.route("**/api/v1/events", () => {});
  await late.page.goto(station.url());
  await late.page.locator("#overview", { hasText: "The server has not answered yet." }).waitFor();
  await late.close();
  await source.stop();
});
