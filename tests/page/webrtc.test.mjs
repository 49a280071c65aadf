// Listening by WebRTC, in Chromium and Firefox, and what the page does where that is not possible.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { launch, listenIn, loudest, Visitor } from "./browser.mjs";
import { Firefox } from "./firefox.mjs";
import { NETWORK, Station, tone, until } from "./station.mjs";

const CONFIG = `
[webrtc]
listen = "${NETWORK}:0"
[mount-defaults]
gap_after = "200ms"
hold = "4s"
[[mount]]
name = "/brief*"
hold = "100ms"
[[mount]]
name = "/locked.opus"
access = "password"
listeners_file = "FOLDER/listeners"
[[mount]]
name = "/single.opus"
max_listeners = 1
[[mount]]
name = "/token.opus"
access = "token"
tokens_file = "FOLDER/tokens"
`;
// "nightingale" for the user "ann", as htpasswd -B writes it.
const LISTENERS = "ann:$2b$05$abcdefghijklmnopqrstuuzwlKv9aDL5T5bX5jHRE5HufknVrPs0C\n";
const TOKEN = "owl-owl-owl-owl-owl";
const BY_PACKETS = /^Live by WebRTC\. The picture shows every packet/;

let browser;
let station;
before(async () => {
  browser = await launch();
  station = await start(CONFIG);
});
after(async () => {
  await browser?.close();
  await station?.stop();
});

async function start(config) {
  const one = await Station.start(config);
  await one.file("listeners", LISTENERS);
  await one.file("tokens", `field:${TOKEN}\n`);
  return one.at(NETWORK).up();
}

/** Waits until so many listen to a mount: all, and by WebRTC. */
async function listeners(name, ...wanted) {
  let last;
  await until(async () => {
    const mount = (await station.mounts()).find((one) => one.name === name);
    last = [mount?.listeners, mount?.webrtc_listeners];
    return last.join() === wanted.join();
  }, `${wanted} listeners`).catch((error) => {
    error.message += `; last ${last}`;
    throw error;
  });
}

/** Waits until this tone is heard by WebRTC, and shown. */
async function hears(visitor, frequency) {
  await visitor.hears(frequency, "received");
  await visitor.hears(frequency);
}

/** A visitor who hears a microphone by WebRTC: a tone of 1000 Hz. */
async function listenTo(mount) {
  const source = station.push(mount, tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone(mount).click();
  await hears(visitor, 1000);
  return { source, visitor };
}

/** Until the returned function is called, no UDP arrives. */
function blockUdp() {
  const rule = (action) => execFileSync("iptables", [action, "INPUT", "-p", "udp", "-j", "DROP"]);
  rule("-I");
  return () => rule("-D");
}

test("in Chromium, a click plays by WebRTC, with a picture of the packets", async () => {
  const source = station.push("/a.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  assert.equal(await visitor.page.evaluate(() => isSecureContext), false);
  await visitor.microphone("/a.opus").click();
  await hears(visitor, 1000);
  await visitor.says(BY_PACKETS);
  await listeners("/a.opus", 1, 1);
  await visitor.part("behind").filter({ hasText: /^0\.\d s$/ }).waitFor();
  await visitor.part("play").click();
  await listeners("/a.opus", 0, 0);
  await visitor.close();
  await source.stop();
});

test("in Firefox, a click plays by WebRTC, with a picture of the packets", async () => {
  const firefox = await Firefox.start(listenIn);
  const source = station.push("/fox.opus", tone(1000));
  await firefox.goto(station.url("?mount=/fox.opus"));
  await until(() => firefox.evaluate(() => !document.querySelector("[data-part=play]").disabled), "a button");
  await firefox.evaluate(() => document.querySelector("[data-part=play]").click());
  for (const what of ["received", "analysers"]) {
    await until(async () => Math.abs((await firefox.evaluate(loudest, what)) - 1000) < 50, `a tone: ${what}`);
  }
  const said = () => firefox.evaluate(() => document.querySelector("[data-part=state]").textContent);
  await until(async () => BY_PACKETS.test(await said()), "the message");
  await listeners("/fox.opus", 1, 1);
  await firefox.evaluate(() => document.querySelector("[data-part=play]").click());
  await listeners("/fox.opus", 0, 0);
  assert.deepEqual(await firefox.evaluate(() => globalThis.ear.forbidden), []);
  await firefox.close();
  await source.stop();
});

test("a person chooses the stream for its picture, and that is remembered", async () => {
  const { source, visitor } = await listenTo("/choice.opus");
  await visitor.part("prefer").selectOption("picture");
  await visitor.says(/^Live$/);
  await visitor.hears(1000);
  await listeners("/choice.opus", 1, 0);
  await visitor.page.reload();
  await visitor.part("play").click();
  await visitor.says(/^Live$/);
  await listeners("/choice.opus", 1, 0);
  await visitor.part("prefer").selectOption("sound");
  await hears(visitor, 1000);
  await visitor.says(BY_PACKETS);
  await listeners("/choice.opus", 1, 1);
  await visitor.close();
  await source.stop();
});

test("where UDP is blocked, the stream is played", async () => {
  const unblock = blockUdp();
  try {
    const source = station.push("/blocked.opus", tone(1000));
    const visitor = await Visitor.open(browser, station.url());
    await visitor.microphone("/blocked.opus").click();
    await visitor.says(/^Live by the stream: WebRTC found no way/);
    await visitor.hears(1000);
    // The session that never came about has been ended.
    await listeners("/blocked.opus", 1, 0);
    await visitor.close();
    await source.stop();
  } finally {
    unblock();
  }
});

test("when UDP is blocked while it is played, the stream takes over", async () => {
  const { source, visitor } = await listenTo("/cut.opus");
  const unblock = blockUdp();
  try {
    await visitor.says(/^Live by the stream: WebRTC brought no more audio/);
    await visitor.hears(1000);
    await listeners("/cut.opus", 1, 0);
  } finally {
    unblock();
  }
  // The next click is a new attempt.
  await visitor.part("play").click();
  await visitor.part("play").click();
  await hears(visitor, 1000);
  await visitor.says(BY_PACKETS);
  await visitor.close();
  await source.stop();
});

test("the only seat of a microphone goes from WebRTC to the stream", async () => {
  const { source, visitor } = await listenTo("/single.opus");
  // A clip takes a seat, too.
  const first = visitor.requests.find((url) => /whep|clip=/.test(url));
  assert.match(first, /whep/);
  const unblock = blockUdp();
  try {
    await visitor.says(/^Live by the stream: WebRTC/);
    await visitor.hears(1000);
    await listeners("/single.opus", 1, 0);
    // The same when it never comes about.
    await visitor.part("play").click();
    await listeners("/single.opus", 0, 0);
    await visitor.part("play").click();
    await visitor.says(/^Live by the stream: WebRTC found no way/);
  } finally {
    unblock();
  }
  await visitor.close();
  await source.stop();
});

test("whoever stops before the server has answered leaves no session behind", async () => {
  const source = station.push("/hasty.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  // The answer takes a moment, in which the button is pressed again.
  let arrived;
  const asked = new Promise((resolve) => (arrived = resolve));
  await visitor.page.route("**/hasty.opus/whep", async (route) => {
    const answer = await route.fetch();
    arrived();
    await stopped;
    await route.fulfill({ response: answer });
  });
  let stop;
  const stopped = new Promise((resolve) => (stop = resolve));
  await visitor.microphone("/hasty.opus").click();
  await asked;
  await listeners("/hasty.opus", 1, 1);
  await visitor.part("play").click();
  const ended = visitor.page.waitForRequest((request) => request.method() === "DELETE");
  stop();
  await ended;
  await listeners("/hasty.opus", 0, 0);
  await visitor.close();
  await source.stop();
});

test("a page that is left ends its session", async () => {
  const { source, visitor } = await listenTo("/left.opus");
  await visitor.page.goto(station.url("embed?mount=/left.opus"));
  await listeners("/left.opus", 0, 0);
  await visitor.close();
  await source.stop();
});

test("a browser that fails at WebRTC plays the stream", async () => {
  const source = station.push("/old.opus", tone(1000));
  // As Firefox did until 148 where the sound card has another rate.
  const prepare = () => {
    AudioContext.prototype.createMediaStreamSource = () => {
      throw new DOMException("another sample rate", "NotSupportedError");
    };
  };
  const visitor = await Visitor.open(browser, station.url(), { prepare });
  await visitor.microphone("/old.opus").click();
  await visitor.says(/^Live by the stream: this browser could not play WebRTC/);
  await visitor.hears(1000);
  await visitor.close();
  await source.stop();
});

test("WebRTC goes on when the recorder restarts", async () => {
  const { source: first, visitor } = await listenTo("/restart.opus");
  await first.stop();
  await visitor.says("No signal from the recorder");
  const second = station.push("/restart.opus", tone(2000));
  await hears(visitor, 2000);
  await visitor.says(BY_PACKETS);
  const asked = visitor.requests.filter((url) => url.endsWith("/restart.opus/whep"));
  assert.equal(asked.length, 1, "it was never reconnected");
  await visitor.close();
  await second.stop();
});

test("a microphone that was off is heard by WebRTC again", async () => {
  const { source: first, visitor } = await listenTo("/brief.opus");
  await first.stop();
  await visitor.says("brief is not on the air");
  const second = station.push("/brief.opus", tone(2000));
  await hears(visitor, 2000);
  await visitor.says(BY_PACKETS);
  await visitor.close();
  await second.stop();
});

test("a listener that an administrator disconnects is told so", async () => {
  const { source, visitor } = await listenTo("/killed.opus");
  await station.disconnectAll("/killed.opus");
  await visitor.says("An administrator has disconnected you");
  await visitor.close();
  await source.stop();
});

test("a password and a token are asked for once", async () => {
  const sources = [station.push("/locked.opus", tone(1000)), station.push("/token.opus", tone(2000))];
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/locked.opus").click();
  await visitor.page.fill("#user", "ann");
  await visitor.page.fill("#secret", "nightingale");
  await visitor.page.keyboard.press("Enter");
  await hears(visitor, 1000);
  await listeners("/locked.opus", 1, 1);
  await visitor.microphone("/token.opus").click();
  await visitor.page.fill("#secret", TOKEN);
  await visitor.page.keyboard.press("Enter");
  await hears(visitor, 2000);
  await listeners("/token.opus", 1, 1);
  await visitor.close();
  await Promise.all(sources.map((source) => source.stop()));
});

test("without the packets, the picture shows what the browser plays", async () => {
  const source = station.push("/worker.opus", tone(1000));
  const prepare = () => {
    delete globalThis.RTCRtpScriptTransform;
  };
  const visitor = await Visitor.open(browser, station.url(), { prepare });
  await visitor.microphone("/worker.opus").click();
  await hears(visitor, 1000);
  await visitor.says(/^Live by WebRTC\. The picture shows what the browser plays/);
  await visitor.close();
  await source.stop();
});

test("where all sessions are taken, the stream is played", async () => {
  const full = await start(CONFIG.replace("[mount-defaults]", "sessions = 1\n$&"));
  const source = full.push("/a.opus", tone(1000));
  const first = await Visitor.open(browser, full.url());
  await first.microphone("/a.opus").click();
  await hears(first, 1000);
  const second = await Visitor.open(browser, full.url());
  await second.microphone("/a.opus").click();
  await second.says(/^Live by the stream: the server refused WebRTC/);
  await second.hears(1000);
  await first.close();
  await second.close();
  await source.stop();
  await full.stop();
});
