// For test files that need no more than it: a browser, and a station with one microphone, `/mic.opus`, which is called
// "Pond". They are started before the first test of the file that imports this, and stopped after the last one.

import { after, before } from "node:test";
import { launch } from "./browser.mjs";
import { Station, tone, until } from "./station.mjs";

/** @type {import("playwright-core").Browser} */
export let browser;
/** @type {Station} */
export let station;

/** Lets the microphone send. */
export function pushPond() {
  station.push("/mic.opus", tone(1000), { name: "Pond" });
}

before(async () => {
  browser = await launch();
  station = await (await Station.start()).up();
  pushPond();
  await until(async () => (await station.mounts()).length === 1, "the microphone");
});
after(async () => {
  await browser?.close();
  await station?.stop();
});
