// Protected microphones, shared ones, and those embedded in other people's pages.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { launch, loudest, Visitor } from "./browser.mjs";
import { Station, tone, until } from "./station.mjs";

const readCode = createRequire(import.meta.url)("jsqr");
const CONFIG = `share_key_file = "FOLDER/key"
[limits]
listeners = 1
# Everything comes from one address: two browsers, each of which loads the page with six connections, and a recorder.
connections_per_ip = 64
[mount-defaults]
# Ends soon after its source, but not because a busy machine keeps the source waiting.
gap_after = "2s"
hold = "100ms"
[[mount]]
name = "/password.opus"
access = "password"
listeners_file = "FOLDER/listeners"
[[mount]]
name = "/password.flac"
access = "password"
listeners_file = "FOLDER/listeners"
[[mount]]
name = "/token*"
access = "token"
tokens_file = "FOLDER/tokens"
[[mount]]
name = "/closed.opus"
access = "closed"
`;
// "nightingale" for the user "ann", as htpasswd -B writes it.
const LISTENERS = "ann:$2b$05$abcdefghijklmnopqrstuuzwlKv9aDL5T5bX5jHRE5HufknVrPs0C\n";
const TOKEN = "owl-owl-owl-owl-owl";

let browser;
let station;
before(async () => {
  browser = await launch();
  station = await Station.start(CONFIG);
  await station.file("listeners", LISTENERS);
  await station.file("key", "k".repeat(40));
  await station.file("tokens", `field:${TOKEN}\n`);
  await station.up();
});
after(async () => {
  await browser?.close();
  await station?.stop();
});

test("the page asks for a password, and again when it was wrong", async () => {
  const source = station.push("/password.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  const { page } = visitor;
  await page.locator("[data-mount='/password.opus'] .status", { hasText: "password" }).waitFor();
  await visitor.microphone("/password.opus").click();
  await page.locator("#login[open]").waitFor();
  await page.fill("#user", "ann");
  await page.fill("#secret", "wrong");
  await page.keyboard.press("Enter");
  await page.locator("#login-about", { hasText: "was refused" }).waitFor();
  assert.equal(await page.inputValue("#user"), "ann");
  await page.fill("#secret", "nightingale");
  await page.click("#login button[type=submit]");
  await visitor.hears(1000);
  await page.locator("#login[open]").waitFor({ state: "detached" });
  // It is kept while the page is open.
  await visitor.part("play").click();
  await visitor.part("play").click();
  await visitor.hears(1000);
  await visitor.close();
  await source.stop();
});

test("the page asks for a token, and the dialog can be cancelled", async () => {
  const source = station.push("/token.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  const { page } = visitor;
  await visitor.microphone("/token.opus").click();
  await page.locator("#login[open]").waitFor();
  assert.ok(await page.locator("#user").isHidden());
  await page.keyboard.press("Escape");
  await page.locator("[data-part=play]", { hasText: "Listen" }).waitFor();
  await visitor.part("play").click();
  await page.fill("#secret", TOKEN);
  await page.keyboard.press("Enter");
  await visitor.hears(1000);
  await visitor.close();
  await source.stop();
});

test("a closed microphone is not tried again", async () => {
  const source = station.push("/closed.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/closed.opus").click();
  await visitor.says("is closed to listeners");
  assert.equal(await visitor.part("play").textContent(), "Listen");
  await visitor.close();
  await source.stop();
});

test("a listener whom an administrator has disconnected is told so and not tried again", async () => {
  const source = station.push("/removed.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/removed.opus").click();
  await visitor.hears(1000);
  await station.disconnectAll("/removed.opus");
  await visitor.says("An administrator has disconnected you from");
  assert.equal(await visitor.part("play").textContent(), "Listen");
  await visitor.close();
  await source.stop();
});

test("when all listener slots are taken, the page waits for one", async () => {
  const source = station.push("/full.opus", tone(1000));
  const first = await Visitor.open(browser, station.url());
  const second = await Visitor.open(browser, station.url());
  await first.microphone("/full.opus").click();
  await first.hears(1000);
  await second.microphone("/full.opus").click();
  await second.says("All listener slots are taken");
  await first.close();
  await second.hears(1000);
  await second.close();
  await source.stop();
});

test("the share dialog has working addresses, a readable QR code and a playlist", async () => {
  const source = station.push("/share%20me/mic.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url("?mount=/share%20me/mic.opus&from=x"));
  const { page } = visitor;
  await visitor.microphone("/share me/mic.opus").waitFor();
  await page.click("#share");
  const link = await page.inputValue("#link-page");
  assert.equal(link, station.url("?mount=/share%20me/mic.opus"));
  assert.equal(await page.inputValue("#link-stream"), station.url("share%20me/mic.opus"));
  assert.match(await page.inputValue("#link-embed"), /^<iframe src="[^"]+embed\?mount=\/share%20me\/mic.opus" /);

  // The code as a camera sees it.
  const [side, pixels] = await page.evaluate(() => {
    const image = document.querySelector("#code");
    const width = image.viewBox.baseVal.width * 4;
    const context = Object.assign(document.createElement("canvas"), { width, height: width }).getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, width);
    context.scale(4, 4);
    context.fillStyle = "#000";
    context.fill(new Path2D(image.querySelector("path").getAttribute("d")));
    return [width, [...context.getImageData(0, 0, width, width).data]];
  });
  assert.equal(readCode(Uint8ClampedArray.from(pixels), side, side)?.data, link);

  await page.click("[data-copy=link-stream]");
  await page.locator("#copied", { hasText: "Copied." }).waitFor();
  // The clipboard cannot be read on plain http, but it can be pasted.
  await page.click("#sharing .close");
  await page.evaluate(() => document.body.append(Object.assign(document.createElement("textarea"), { id: "paste" })));
  await page.focus("#paste");
  await page.keyboard.press("Control+V");
  assert.equal(await page.inputValue("#paste"), station.url("share%20me/mic.opus"));

  const playlist = await page.evaluate(async () => (await fetch(document.querySelector("#playlist").href)).text());
  assert.match(playlist, /share%20me\/mic\.opus/);
  await page.goto(link);
  await page.locator("h1", { hasText: "share me/mic" }).waitFor();
  await visitor.close();
  await source.stop();
});

test("an address names its microphone, even while that is not on the air", async () => {
  const other = station.push("/a-first.opus", tone(500));
  const visitor = await Visitor.open(browser, station.url("?mount=/later.opus"));
  await visitor.microphone("/a-first.opus").waitFor();
  await visitor.says("later is not on the air");
  const source = station.push("/later.opus", tone(1000));
  await visitor.microphone("/later.opus").waitFor();
  await visitor.part("play").click();
  await visitor.hears(1000);
  await visitor.close();
  await Promise.all([source.stop(), other.stop()]);
});

test("another site can embed the player, but not the whole page", async () => {
  const source = station.push("/embed.opus", tone(1000));
  const site = createServer((_, answer) => {
    answer.setHeader("Content-Type", "text/html");
    answer.end(`<!doctype html><iframe id=player src="${station.url("embed?mount=/embed.opus")}" width=480 height=320></iframe>
      <iframe id=whole src="${station.url()}"></iframe>`);
  });
  site.listen(0, "127.0.0.1").unref();
  await once(site, "listening");
  const visitor = await Visitor.open(browser, `http://127.0.0.1:${site.address().port}/`);
  const player = visitor.page.frameLocator("#player");
  await player.locator("h1", { hasText: "embed" }).waitFor();
  await player.locator("[data-part=play]").click();
  const frame = visitor.page.frames().find((one) => one.url().includes("/embed?"));
  await until(async () => Math.abs((await frame.evaluate(loudest)) - 1000) < 50, "1000 Hz");
  assert.equal(await player.locator("#whole").getAttribute("href"), station.url("?mount=/embed.opus"));
  const framed = visitor.page.frames().find((one) => one.parentFrame() && one !== frame);
  assert.match(framed.url(), /^chrome-error:/);
  // The browser had to block the whole page.
  visitor.errors.length = 0;
  await visitor.close();
  site.close();
  await source.stop();
});

test("everything works below the path prefix of a proxy", async () => {
  const behind = await (await Station.start()).under("/stream").up();
  const source = behind.push("/mic.opus", tone(1000));
  // Without the trailing slash, the browser is redirected.
  const visitor = await Visitor.open(browser, behind.url("stream?mount=/mic.opus"));
  assert.equal(visitor.page.url(), behind.url("stream/?mount=/mic.opus"));
  await visitor.microphone("/mic.opus").click();
  await visitor.hears(1000);
  assert.ok(visitor.requests.every((url) => url.startsWith(behind.url("stream"))), visitor.requests.join("\n"));
  await visitor.close();
  await source.stop();
  await behind.stop();
});

test("without scripts there are plain players with the names of the microphones", async () => {
  const source = station.push("/quiet.opus", tone(1000), { name: "<Reed> & bed" });
  await until(async () => (await station.mounts()).some(({ name }) => name === "/quiet.opus"));
  const visitor = await Visitor.open(browser, station.url(), { javaScriptEnabled: false });
  const html = await visitor.page.content();
  assert.match(html, /<a href="quiet\.opus">&lt;Reed&gt; &amp; bed<\/a><audio controls="" preload="none" src="quiet\.opus">/);
  await visitor.page.locator("audio[src='quiet.opus']").waitFor();
  await visitor.context.close();
  await source.stop();
});

test("an address with a token opens the page, the stream and what was before, and nothing is asked", async () => {
  const source = station.push("/token-link.opus", tone(1000));
  for (const place of ["", "embed"]) {
    const visitor = await Visitor.open(browser, station.url(`${place}?mount=/token-link.opus&token=${TOKEN}`));
    await visitor.page.locator("h1", { hasText: "token-link" }).waitFor();
    await visitor.part("play").click();
    await visitor.hears(1000);
    await until(() => visitor.requests.some((url) => url.includes("clip=40s")), "what was before");
    for (const url of visitor.requests.filter((one) => one.includes("/token-link.opus?"))) {
      if (!url.includes("embed?") && !url.includes("/?")) assert.ok(url.endsWith(`token=${TOKEN}`), url);
    }
    await visitor.close();
  }
  // A wrong one is asked for as always.
  const visitor = await Visitor.open(browser, station.url("?mount=/token-link.opus&token=wrong"));
  await visitor.page.locator("h1", { hasText: "token-link" }).waitFor();
  await visitor.part("play").click();
  await visitor.page.locator("#login[open]").waitFor();
  await visitor.close();
  await source.stop();
});

test("whoever has the administrator's password shares a protected microphone for a while", async () => {
  const source = station.push("/token-share.opus", tone(1000));
  const httpCredentials = { username: "admin", password: "other" };
  const visitor = await Visitor.open(browser, station.url("?mount=/token-share.opus"), { httpCredentials });
  await visitor.page.locator("h1", { hasText: "token-share" }).waitFor();
  await visitor.page.click("#share");
  await visitor.page.getByRole("button", { name: "For 2 hours" }).click();
  await visitor.page.locator("#sharing-about", { hasText: "These addresses work until" }).waitFor();
  const link = await visitor.page.inputValue("#link-page");
  const playlist = await visitor.page.getAttribute("#playlist", "href");
  await visitor.close();
  assert.match(link, /\?mount=\/token-share\.opus&expires=\d+&signature=[\w-]+$/);
  const listed = await (await fetch(`http://127.0.0.1:${station.port}/${playlist}`)).text();
  assert.match(listed, /token-share\.opus\?expires=\d+&signature=/);
  // Somebody else opens it.
  const guest = await Visitor.open(browser, link);
  await guest.page.locator("h1", { hasText: "token-share" }).waitFor();
  await guest.part("play").click();
  await guest.hears(1000);
  await guest.close();
  await source.stop();
});

test("the browser's built-in player plays what a password protects", async () => {
  const source = station.push("/password.flac", tone(1000), { codec: ["flac", "-ar", "48000"] });
  const visitor = await Visitor.open(browser, station.url("?mount=/password.flac"));
  await visitor.microphone("/password.flac").click();
  await visitor.page.locator("#login[open]").waitFor();
  await visitor.page.fill("#user", "ann");
  await visitor.page.fill("#secret", "nightingale");
  await visitor.page.keyboard.press("Enter");
  await visitor.hears(1000);
  await visitor.close();
  await source.stop();
});
