// Whether the page's figure for the delay is right, in Chromium and in Firefox. The delay is measured from the moment a
// page of audio leaves its source to the moment it is heard. It depends on the machine, and is reported.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, listenIn, noteBeeps, Visitor } from "./browser.mjs";
import { Firefox } from "./firefox.mjs";
import { LOOPBACK, NETWORK, Station, until } from "./station.mjs";

// Beeps that are judged together. A busy machine may need some more to settle.
const COUNTED = 9;
const SETTLING = 40;

const DELIVERIES = [
  { how: "by the stream", what: "analysers", says: /^Live$/, config: "", address: LOOPBACK },
  { how: "by WebRTC", what: "received", says: /^Live by WebRTC/, config: `[webrtc]\nlisten = "${NETWORK}:0"\n`, address: NETWORK },
];

/** Waits until the page's figure was right for the last beeps. */
async function judge(source, noted, context) {
  const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
  let behind, off;
  await until(async () => {
    const beeps = await noted();
    if (beeps.length < COUNTED) return false;
    const last = beeps.slice(-COUNTED).map(({ heard, said }) => {
      const left = source.beeps.findLast((time) => time < heard);
      return { behind: (heard - left) / 1000, said: Number.parseFloat(said) };
    });
    behind = median(last.map((one) => one.behind));
    off = median(last.map((one) => Math.abs(one.said - one.behind)));
    const told = `${behind.toFixed(3)} s behind the source, its own figure off by ${off.toFixed(3)} s`;
    assert.ok(behind > 0.02, `${behind} s cannot be`);
    if (off <= 0.3) {
      context.diagnostic(`${told}: medians of beeps ${beeps.length - COUNTED + 1} to ${beeps.length}`);
      return true;
    }
    assert.ok(beeps.length < SETTLING, told);
    return false;
  }, "beeps", 2.5 * SETTLING * 1000);
}

for (const { how, what, says, config, address } of DELIVERIES) {
  test(`in Chromium, the page's figure for the delay is right, ${how}`, async (context) => {
    const station = await (await Station.start(config)).at(address).up();
    const browser = await launch();
    const source = await station.beep("/beep.opus");
    const visitor = await Visitor.open(browser, station.url());
    await visitor.page.evaluate(noteBeeps, what);
    await visitor.microphone("/beep.opus").click();
    await visitor.says(says);
    const noted = () => visitor.page.evaluate(() => globalThis.ear.beeps);
    await judge(source, noted, context);
    await visitor.close();
    await browser.close();
    await source.stop();
    await station.stop();
  });

  test(`in Firefox, the page's figure for the delay is right, ${how}`, async (context) => {
    const station = await (await Station.start(config)).at(address).up();
    const firefox = await Firefox.start(listenIn);
    const source = await station.beep("/beep.opus");
    await firefox.goto(station.url());
    await firefox.evaluate(noteBeeps, what);
    await until(() => firefox.evaluate(() => Boolean(document.querySelector("[data-mount='/beep.opus']"))), "a list");
    await firefox.evaluate(() => document.querySelector("[data-mount='/beep.opus'] button").click());
    const said = () => firefox.evaluate(() => document.querySelector("[data-part=state]").textContent);
    await until(async () => says.test(await said()), `${says}`);
    const noted = () => firefox.evaluate(() => globalThis.ear.beeps);
    await judge(source, noted, context);
    assert.deepEqual(await firefox.evaluate(() => globalThis.ear.forbidden), []);
    await firefox.close();
    await source.stop();
    await station.stop();
  });
}
