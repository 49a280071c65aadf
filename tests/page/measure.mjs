// Measures the page on links of several kinds, by WebRTC and by the stream, in Chromium and in Firefox:
//
//   tests/page/in-network node tests/page/measure.mjs [NUMBER OF BEEPS [LINK …]]
//
// It prints a table: how far behind the source a beep is heard (median, and the range of the middle half), what part of
// the sound the browser invented, and how long it takes from the request to the first sound (median of five). It measures
// Firefox only where PULSE_SERVER names a PulseAudio.

import dgram from "node:dgram";
import { launch, listenIn, noteBeeps, Visitor } from "./browser.mjs";
import { Firefox } from "./firefox.mjs";
import { LINK, link } from "./link.mjs";
import { NETWORK, Station, tone, until } from "./station.mjs";

const COUNTED = Number(process.argv[2] ?? 20);
// Beeps until a browser has settled.
const SETTLING = 8;
const LINKS = {
  "as it is": null,
  "1 % lost": { loss: 0.01 },
  "5 % lost": { loss: 0.05 },
  "100 ms round trip": { delay: 50 },
  "20 ms jitter": { jitter: 20 },
};
const WAYS = { WebRTC: ["sound", "received", /^Live by WebRTC/], stream: ["picture", "analysers", /^Live$/] };

/** Runs in a page before its scripts: keeps its connections, and when it asks for audio. */
function keepPeers() {
  globalThis.peers = [];
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...settings) {
      super(...settings);
      globalThis.peers.push(this);
    }
  };
  const { fetch } = globalThis;
  globalThis.fetch = (...request) => {
    globalThis.asked ??= performance.now();
    return fetch(...request);
  };
}

/** In the page: asks for the microphone, and returns the milliseconds until it is heard, or null after ten seconds. */
async function timeToSound(what) {
  const button = document.querySelector("[data-part=play]");
  const samples = new Float32Array(256);
  // Each connection by WebRTC has an analyser of its own. That of the stream still has what was heard before.
  const known = what === "received" ? globalThis.ear[what].length : 0;
  const isLoud = () => {
    globalThis.ear[what].slice(known).at(-1)?.getFloatTimeDomainData(samples);
    return samples.some((sample) => Math.abs(sample) > 0.02);
  };
  const moment = () => new Promise((resolve) => setTimeout(resolve, 1));
  const last = performance.now() + 10_000;
  while (isLoud() && performance.now() < last) await moment();
  samples.fill(0);
  globalThis.asked = undefined;
  button.click();
  while (!isLoud() && performance.now() < last) await moment();
  const took = performance.now() - globalThis.asked;
  button.click();
  return performance.now() < last ? took : null;
}

/** In the page: what part of the sound is the browser's invention, in percent. */
async function invented() {
  const stats = await globalThis.peers.at(-1).getStats();
  const { concealedSamples = 0, totalSamplesReceived = 1 } = [...stats.values()].find(({ type }) => type === "inbound-rtp");
  return (100 * concealedSamples) / totalSamplesReceived;
}

async function freePort() {
  const socket = dgram.createSocket("udp4");
  await new Promise((bound) => socket.bind(0, NETWORK, bound));
  const { port } = socket.address();
  await new Promise((closed) => socket.close(closed));
  return port;
}

const BROWSERS = {
  async Chromium(url, preference) {
    const browser = await launch();
    const visitor = await Visitor.open(browser, "about:blank", { prepare: keepPeers });
    await visitor.page.goto(url);
    const evaluate = (work, argument) => visitor.page.evaluate(work, argument);
    await evaluate((value) => localStorage.setItem("silvacast.prefer", JSON.stringify(value)), preference);
    await visitor.page.reload();
    return { evaluate, close: () => browser.close() };
  },
  async Firefox(url, preference) {
    const firefox = await Firefox.start(`() => { (${listenIn})(); (${keepPeers})(); }`);
    await firefox.goto(url);
    await firefox.evaluate((value) => localStorage.setItem("silvacast.prefer", JSON.stringify(value)), preference);
    await firefox.goto(url);
    return { evaluate: (work, argument) => firefox.evaluate(work, argument), close: () => firefox.close() };
  },
};
if (!process.env.PULSE_SERVER) delete BROWSERS.Firefox;

const sorted = (list) => [...list].sort((a, b) => a - b);
const quantile = (list, part) => sorted(list)[Math.floor((list.length - 1) * part)];

async function measure(open, [preference, what, says], condition) {
  const udp = await freePort();
  const config = `[webrtc]\nlisten = "${NETWORK}:${udp}"\naddresses = ["${condition ? LINK : NETWORK}"]\n`;
  const station = await (await Station.start(config)).at(NETWORK).up();
  const unlink = condition ? await link(NETWORK, { tcp: station.port, udp }, condition) : () => {};
  const page = `http://${condition ? LINK : NETWORK}:${station.port}/`;
  const source = await station.beep("/beep.opus");
  station.push("/tone.opus", tone(997));
  const ready = (browser) => until(() => browser.evaluate(() => !document.querySelector("[data-part=play]").disabled));

  const first = await open(`${page}?mount=/tone.opus`, preference);
  await ready(first);
  const times = [];
  for (let time = 0; time < 5; time += 1) {
    times.push((await first.evaluate(timeToSound, what)) ?? Infinity);
    await until(async () => (await station.mounts()).every(({ listeners }) => listeners === 0), "nobody listens");
  }
  await first.close();

  const browser = await open(`${page}?mount=/beep.opus`, preference);
  await ready(browser);
  await browser.evaluate(noteBeeps, what);
  await browser.evaluate(() => document.querySelector("[data-part=play]").click());
  const count = () => browser.evaluate(() => globalThis.ear.beeps.length);
  const last = performance.now() + (COUNTED + SETTLING) * 2_500;
  // What is lost may be a beep.
  await until(async () => (await count()) >= COUNTED + SETTLING || performance.now() > last, "beeps", 600_000);
  const said = await browser.evaluate(() => document.querySelector("[data-part=state]").textContent);
  const beeps = (await browser.evaluate(() => globalThis.ear.beeps)).slice(SETTLING);
  const behind = beeps.map(({ heard }) => heard - source.beeps.findLast((time) => time < heard));
  const part = preference === "sound" ? await browser.evaluate(invented) : null;
  await browser.close();
  await station.stop();
  unlink();
  const figures = [0.5, 0.25, 0.75].map((one) => Math.round(quantile(behind, one)));
  return [
    `${figures[0]} ms (${figures[1]}–${figures[2]})`,
    part === null ? "" : `${part.toFixed(2)} %`,
    `${Math.round(quantile(times, 0.5))} ms`,
    says.test(said) ? "" : said,
  ];
}

console.log("| link | browser | by | behind the source | invented | to sound |\n|---|---|---|---|---|---|");
const chosen = process.argv.slice(3);
for (const [condition, values] of Object.entries(LINKS)) {
  if (chosen.length > 0 && !chosen.includes(condition)) continue;
  for (const [name, open] of Object.entries(BROWSERS)) {
    for (const [way, how] of Object.entries(WAYS)) {
      const figures = await measure(open, how, values).catch((error) => ["", "", "", error.message]);
      const [behind, part, time, note] = figures;
      console.log(`| ${condition} | ${name} | ${way} | ${behind} | ${part} | ${time} | ${note}`);
    }
  }
}
process.exit(0);
