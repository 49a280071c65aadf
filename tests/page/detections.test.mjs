// What detectors have heard: listed, marked in the picture, heard again and saved.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { accessible, WITH_AXE } from "./accessible.mjs";
import { Visitor } from "./browser.mjs";
import { browser, station } from "./pond.mjs";
import { ADMIN_PASSWORD, until } from "./station.mjs";

/** As a detector does, about the last two seconds. */
async function detect(name) {
  const end = Date.now() - 500;
  const response = await fetch(`http://127.0.0.1:${station.port}/api/v1/mounts/mic.opus/detections`, {
    method: "POST",
    headers: {
      Authorization: `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString("base64")}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({
      common_name: name, confidence: 0.87, low_frequency: 800, high_frequency: 4000,
      start: new Date(end - 2_000).toISOString(), end: new Date(end).toISOString(),
    }),
  });
  assert.ok(response.ok, await response.text());
}

/** In the page: how many pixels of the picture are as white as only marks are. */
function whitePixels() {
  const canvas = document.querySelector("[data-part=spectrogram]");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) if (data[at] === 255 && data[at + 1] === 255 && data[at + 2] === 255) count += 1;
  return count;
}

test("detections are listed, marked, heard again and saved", async () => {
  // The memory holds what is detected.
  await until(async () => {
    const { held } = await (await fetch(`http://127.0.0.1:${station.port}/api/v1/mounts/mic.opus/clock`)).json();
    return held && Date.parse(held.to) - Date.parse(held.from) > 4_000;
  }, "four seconds in memory");
  await detect("Blackbird");
  const visitor = await Visitor.open(browser, station.url("?mount=/mic.opus"), { ...WITH_AXE, colorScheme: "dark" });
  const item = (name) => visitor.page.locator("#detections li", { hasText: name });
  await item("Blackbird").getByText("87 %").waitFor();
  await visitor.microphone("/mic.opus").click();
  await visitor.says(/^Live/);
  await until(async () => (await visitor.page.evaluate(whitePixels)) > 100, "a box in the picture");
  // One that comes while the page is open is the first one, and takes nothing from those that are there.
  const save = item("Blackbird").getByRole("button", { name: "Save" });
  await save.focus();
  await detect("Robin");
  await item("Robin").waitFor();
  assert.ok(await save.evaluate((button) => button === document.activeElement), "the button keeps the focus");
  assert.match(await visitor.page.locator("#detections li").first().textContent(), /^Robin/);
  await accessible(visitor, "with detections");
  await item("Robin").getByRole("button", { name: "Play" }).click();
  await visitor.part("to-live").waitFor();
  await visitor.part("to-live").click();
  const download = visitor.page.waitForEvent("download");
  await item("Robin").getByRole("button", { name: "Save" }).click();
  const saved = await download;
  assert.match(saved.suggestedFilename(), /^Robin-.*Z\.opus$/);
  const bytes = await readFile(await saved.path());
  assert.equal(bytes.subarray(0, 4).toString(), "OggS");
  // It can be heard without listening, too.
  await visitor.part("play").click();
  await item("Robin").getByRole("button", { name: "Play" }).click();
  await visitor.close();
});
