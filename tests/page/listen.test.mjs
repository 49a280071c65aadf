// What a person does with the page, in Chromium, over plain http and on a name other than localhost.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, Visitor } from "./browser.mjs";
import { Station, tone, until } from "./station.mjs";

const CONFIG = `
[mount-defaults]
gap_after = "200ms"
hold = "4s"
[[mount]]
name = "/brief*"
hold = "100ms"
[[mount]]
name = "/hidden*"
hold = "100ms"
hidden = true
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

test("one click plays, another switches, and two microphones are never heard at once", async () => {
  const sources = [station.push("/a.opus", tone(1000), { name: "Pond & <reeds>" }), station.push("/b.opus", tone(3000))];
  const visitor = await Visitor.open(browser, station.url());
  assert.equal(await visitor.page.evaluate(() => isSecureContext), false);
  await visitor.microphone("/a.opus").click();
  await visitor.hears(1000);
  await visitor.says(/^Live$/);
  assert.equal(await visitor.page.locator("h1").textContent(), "Pond & <reeds>");
  await visitor.microphone("/b.opus").click();
  await visitor.hears(3000);
  const listeners = async () => (await station.mounts()).map((mount) => mount.listeners);
  await until(async () => (await listeners()).join() === "0,1", "one listener, of the second");
  const playing = () => [...globalThis.ear.elements].filter((element) => !element.paused).length;
  // The first one ends softly, in a tenth of a second.
  await until(async () => (await visitor.page.evaluate(playing)) === 1, "only the second is played");
  await visitor.part("play").click();
  await until(async () => (await listeners()).join() === "0,0", "nobody listens");
  await until(async () => (await visitor.page.evaluate(playing)) === 0, "nothing is played");

  // The last microphone and the volume are remembered.
  await visitor.part("volume").fill("40");
  await visitor.page.reload();
  await visitor.page.locator("h1", { hasText: "b" }).waitFor();
  assert.equal(await visitor.part("volume").inputValue(), "40");
  await visitor.part("play").click();
  await visitor.hears(3000);
  await visitor.close();
  await Promise.all(sources.map((source) => source.stop()));
});

test("playback continues when the recorder restarts", async () => {
  const first = station.push("/restart.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/restart.opus").click();
  await visitor.hears(1000);
  await first.stop();
  await visitor.says("No signal from the recorder");
  await visitor.page.locator("[data-mount='/restart.opus'] .status", { hasText: "no signal" }).waitFor();
  const second = station.push("/restart.opus", tone(2000));
  await visitor.hears(2000);
  await visitor.says(/^Live$/);
  const asked = visitor.requests.filter((url) => url.includes("/restart.opus?burst"));
  assert.equal(asked.length, 1, "it was never reconnected");
  await visitor.close();
  await second.stop();
});

test("a microphone that vanishes is listed as off, and playback resumes when it is back", async () => {
  const other = station.push("/other.opus", tone(500));
  const first = station.push("/brief.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  const statuses = [];
  visitor.page.on("response", (answer) => {
    if (answer.url().includes("/brief.opus?burst")) statuses.push(answer.status());
  });
  await visitor.microphone("/brief.opus").click();
  await visitor.hears(1000);
  await first.stop();
  await visitor.isOff("/brief.opus");
  await visitor.says("brief is not on the air");
  await visitor.microphone("/other.opus").waitFor();
  // It waits for an event, however long that takes: meanwhile, others come and go.
  for (const frequency of [600, 700, 800]) {
    const passing = station.push("/brief-passing.opus", tone(frequency));
    await visitor.microphone("/brief-passing.opus").waitFor();
    await passing.stop();
    await visitor.isOff("/brief-passing.opus");
  }
  assert.ok(statuses.filter((status) => status !== 200).length <= 1, `${statuses}`);
  const second = station.push("/brief.opus", tone(2000));
  await visitor.microphone("/brief.opus").waitFor();
  await visitor.hears(2000);
  await visitor.says(/^Live$/);
  assert.ok(statuses.length <= 3, `${statuses}`);
  await visitor.close();
  await Promise.all([second.stop(), other.stop()]);
});

test("a microphone that is idle begins when somebody listens", async () => {
  const named = `${CONFIG}[[mount]]\nname = "/asked-for.opus"\non_demand = true\n`;
  const alone = await (await Station.start(named)).up();
  const visitor = await Visitor.open(browser, alone.url());
  const idle = visitor.page.locator("[data-mount='/asked-for.opus']");
  await idle.locator(".status", { hasText: "idle" }).waitFor();
  const demand = `http://127.0.0.1:${alone.port}/api/v1/mounts/asked-for.opus/demand`;
  const wanted = fetch(`${demand}?wanted=false&wait=60s`);
  await idle.getByRole("button").click();
  // As the encoder learns of it.
  assert.equal((await (await wanted).json()).wanted, true);
  const source = alone.push("/asked-for.opus", tone(1500));
  await visitor.hears(1500);
  await visitor.says(/^Live$/);
  await visitor.close();
  await source.stop();
  await alone.stop();
});

test("a microphone that is off is not asked for by the browser's built-in player either", async () => {
  const codec = ["flac", "-ar", "48000"];
  const first = station.push("/brief.flac", tone(1000), { codec });
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/brief.flac").click();
  await visitor.hears(1000);
  await first.stop();
  await visitor.says("brief is not on the air");
  const asked = () => visitor.requests.filter((url) => url.includes("/brief.flac")).length;
  const earlier = asked();
  const passing = station.push("/brief-passing.opus", tone(600));
  await visitor.microphone("/brief-passing.opus").waitFor();
  await passing.stop();
  await visitor.isOff("/brief-passing.opus");
  assert.equal(asked(), earlier);
  const second = station.push("/brief.flac", tone(2000), { codec });
  await visitor.hears(2000);
  await visitor.close();
  await second.stop();
});

test("playback of a hidden microphone, which no event announces, resumes too", async () => {
  const first = station.push("/hidden.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url("?mount=/hidden.opus"));
  await visitor.page.locator("h1", { hasText: "hidden" }).waitFor();
  const heard = visitor.hears(1000);
  // The server may not have the stream yet, and the page cannot know.
  await until(async () => (await fetch(`http://127.0.0.1:${station.port}/hidden.opus`, { method: "HEAD" })).ok);
  await visitor.part("play").click();
  await heard;
  await first.stop();
  await visitor.says("hidden is not on the air");
  const second = station.push("/hidden.opus", tone(2000));
  await visitor.hears(2000);
  await visitor.close();
  await second.stop();
});

test("the page survives a restart of the server", async () => {
  const alone = await (await Station.start(CONFIG)).up();
  const visitor = await Visitor.open(browser, alone.url());
  await visitor.page.locator("#empty", { hasText: "No microphone is on the air" }).waitFor();
  assert.ok(await visitor.part("play").isDisabled());
  const source = alone.push("/mic.opus", tone(1000));
  await visitor.microphone("/mic.opus").click();
  await visitor.hears(1000);
  await alone.down();
  await visitor.page.locator("#overview", { hasText: "The server does not respond" }).waitFor();
  await visitor.says("Reconnecting");
  await source.stop();
  await alone.up(alone.port);
  await visitor.page.locator("#overview", { hasText: "No microphone" }).waitFor();
  alone.push("/mic.opus", tone(2000));
  await visitor.hears(2000);
  await visitor.says(/^Live$/);
  await visitor.close();
  await alone.stop();
});

test("the only microphone can be played again after it was stopped, vanished and came back", async () => {
  const alone = await (await Station.start(CONFIG)).up();
  const first = alone.push("/brief.opus", tone(1000));
  const visitor = await Visitor.open(browser, alone.url());
  await visitor.microphone("/brief.opus").click();
  await visitor.hears(1000);
  await visitor.part("play").click();
  await first.stop();
  await visitor.says("No microphone is on the air");
  assert.ok(await visitor.part("play").isDisabled());
  alone.push("/brief.opus", tone(2000));
  await visitor.part("play").click();
  await visitor.hears(2000);
  await visitor.close();
  await alone.stop();
});

test("a file that the server refuses at first is loaded later, and the page says so", async () => {
  const source = station.push("/files.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url(), {
    refuse: { "/web/*/scripts.js": 2, "/web/*/style.css": 1 },
  });
  assert.ok(await visitor.part("play").isDisabled());
  await visitor.says("could not be loaded");
  await visitor.microphone("/files.opus").click();
  await visitor.hears(1000);
  const loaded = () => [...document.styleSheets].some(({ href }) => href.endsWith("/style.css"));
  await until(() => visitor.page.evaluate(loaded), "a style sheet");
  await visitor.close();
  await source.stop();
});

test("while nothing of the page has been loaded it says that it is loading", async () => {
  const visitor = await Visitor.open(browser, station.url(), { refuse: { "/web/*/*.js": Infinity } });
  await visitor.says("Loading …");
  await visitor.close();
});

test("everything works with the keyboard, and the focus stays", async () => {
  const source = station.push("/keys.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/keys.opus").waitFor();
  const focused = () => document.activeElement.parentElement.dataset.mount;
  await until(async () => {
    await visitor.page.keyboard.press("Tab");
    return (await visitor.page.evaluate(focused)) === "/keys.opus";
  });
  await visitor.page.keyboard.press("Enter");
  await visitor.hears(1000);
  assert.equal(await visitor.page.evaluate(focused), "/keys.opus");
  assert.equal(await visitor.microphone("/keys.opus").getAttribute("aria-pressed"), "true");
  await visitor.part("mute").focus();
  await visitor.page.keyboard.press("Space");
  assert.equal(await visitor.part("mute").getAttribute("aria-pressed"), "true");
  await visitor.close();
  await source.stop();
});

test("the page works without storage and without Media Source Extensions", async () => {
  const source = station.push("/plain.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url(), {
    prepare: () => {
      Object.defineProperty(globalThis, "localStorage", { get: () => { throw new DOMException("no", "SecurityError"); } });
      delete globalThis.MediaSource;
      delete globalThis.ManagedMediaSource;
    },
  });
  await visitor.microphone("/plain.opus").click();
  await visitor.hears(1000);
  await visitor.says("built-in player");
  await visitor.close();
  await source.stop();
});

test("a browser without Opus in MP4 gets WebM", async () => {
  const source = station.push("/webm.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url(), {
    prepare: () => {
      const { isTypeSupported } = MediaSource;
      MediaSource.isTypeSupported = (type) => !type.includes("mp4") && isTypeSupported.call(MediaSource, type);
    },
  });
  await visitor.microphone("/webm.opus").click();
  await visitor.hears(1000);
  await visitor.says(/^Live$/);
  await visitor.close();
  await source.stop();
});

test("playback continues when the recorder comes back in stereo", async () => {
  const first = station.push("/stereo.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/stereo.opus").click();
  await visitor.hears(1000);
  await first.stop();
  const second = station.push("/stereo.opus", tone(2000), { codec: ["libopus", "-ac", "2"] });
  await visitor.hears(2000);
  await visitor.says(/^Live$/);
  await visitor.close();
  await second.stop();
});

test("the browser's built-in player plays FLAC", async () => {
  const source = station.push("/lossless.flac", tone(1000), { codec: ["flac", "-ar", "48000"] });
  const visitor = await Visitor.open(browser, station.url("?mount=/lossless.flac"));
  await visitor.page.locator("h1", { hasText: "lossless" }).waitFor();
  await visitor.part("play").click();
  await visitor.hears(1000);
  await visitor.close();
  await source.stop();
});

test("when playback is late, the page says so, and one click goes back to live", async () => {
  const source = station.push("/late.opus", tone(1000));
  const visitor = await Visitor.open(browser, station.url());
  await visitor.microphone("/late.opus").click();
  await visitor.hears(1000);
  // As if playback had stalled for a while.
  await visitor.page.evaluate(() => {
    const [element] = globalThis.ear.elements;
    element.playbackRate = 0;
    const hold = setInterval(() => (element.playbackRate = 0), 5);
    globalThis.release = () => clearInterval(hold);
  });
  await visitor.part("to-live").waitFor();
  await visitor.page.evaluate(() => globalThis.release());
  const late = () => Number.parseFloat(document.querySelector("[data-part=behind]").textContent);
  assert.ok((await visitor.page.evaluate(late)) >= 1);
  await visitor.part("to-live").click();
  await until(async () => (await visitor.page.evaluate(late)) < 0.6, "near live");
  await visitor.part("to-live").waitFor({ state: "hidden" });
  await visitor.hears(1000);
  await visitor.close();
  await source.stop();
});

test("the address and the title follow the choice, and back works", async () => {
  const alone = await (await Station.start(CONFIG)).up();
  const sources = [alone.push("/a.opus", tone(1000), { name: "Pond" }), alone.push("/b.opus", tone(3000), { name: "Oak" })];
  // Without its slash, too.
  const visitor = await Visitor.open(browser, alone.url("?mount=b.opus"));
  await visitor.page.locator("h1", { hasText: "Oak" }).waitFor();
  await until(async () => (await visitor.page.title()) === "Oak · silvacast", "the title");
  await visitor.part("play").click();
  await visitor.hears(3000);
  await visitor.microphone("/a.opus").click();
  await visitor.hears(1000);
  assert.equal(new URL(visitor.page.url()).search, "?mount=/a.opus");
  assert.equal(await visitor.page.title(), "Pond · silvacast");
  await visitor.page.goBack();
  await visitor.hears(3000);
  await until(async () => (await visitor.page.title()) === "Oak · silvacast", "the title of before");
  await visitor.page.goForward();
  await visitor.hears(1000);
  await visitor.close();
  await Promise.all(sources.map((source) => source.stop()));
  await alone.stop();
});

test("the first choice is a microphone that can be heard", async () => {
  const protection = "[[mount]]\nname = \"/a.opus\"\naccess = \"closed\"\n[[mount]]\nname = \"/b.opus\"\naccess = \"token\"\ntokens_file = \"FOLDER/tokens\"\n";
  const alone = await Station.start(`${CONFIG}${protection}`);
  await alone.file("tokens", "field:0123456789abcdef0123456789abcdef\n");
  await alone.up();
  const sources = ["a", "b", "c"].map((name) => alone.push(`/${name}.opus`, tone(1000)));
  await until(async () => (await alone.mounts()).length === 3, "three microphones");
  const visitor = await Visitor.open(browser, alone.url());
  await visitor.page.locator("h1", { hasText: /^c$/ }).waitFor();
  await visitor.close();
  await Promise.all(sources.map((source) => source.stop()));
  await alone.stop();
});
