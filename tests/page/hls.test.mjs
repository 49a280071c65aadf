// HLS in browsers: both playlists with hls.js in Chromium, Firefox and WebKitGTK, and the plain one in WebKitGTK's
// <audio>, through a restart of the Recorder and a gap of ten seconds. How far playback is behind live depends on the
// machine, and is reported.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { after, before, test } from "node:test";
import { launch, listenIn, Visitor } from "./browser.mjs";
import { Firefox } from "./firefox.mjs";
import { repository, Station, tone, until } from "./station.mjs";
import { WebKit } from "./webkit.mjs";

const PLAYLISTS = ["index", "low-latency"];
/** A player that does without hls.js. */
const NATIVE = "native";

let station;
let web;
before(async () => {
  station = await (await Station.start('[mount-defaults]\ngap_after = "200ms"\n')).up();
  const library = await readFile(repository("tests/page/node_modules/hls.js/dist/hls.min.js"));
  // A page of another site, as a station's home page is.
  web = http.createServer((request, response) => {
    const isPage = request.url === "/";
    response.setHeader("Content-Type", isPage ? "text/html" : "text/javascript");
    response.end(isPage ? "<!doctype html><script src=hls.js></script>" : library);
  });
  await new Promise((listening) => web.listen(0, "127.0.0.1", listening));
});
after(async () => {
  web?.close();
  await station?.stop();
});

/** In the page: plays a playlist, with hls.js if it is there. */
function play(name, url) {
  const element = new Audio();
  element.crossOrigin = "anonymous";
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaElementSource(element).connect(analyser).connect(context.destination);
  const errors = [];
  element.addEventListener("error", () => errors.push(`fatal ${element.error.message}`));
  let hls;
  if (name === "native") {
    element.src = url;
  } else {
    hls = new globalThis.Hls();
    hls.on("hlsError", (_, { fatal, details, reason }) => errors.push(`${fatal ? "fatal " : ""}${details} ${reason}`));
    hls.loadSource(url);
    hls.attachMedia(element);
  }
  globalThis.players ??= {};
  globalThis.players[name] = { element, analyser, hls, errors };
  context.resume();
  element.play().catch((error) => errors.push(`play: ${error}`));
}

/** In the page: what a player is doing. */
function look(name) {
  const { element, analyser, hls, errors } = globalThis.players[name];
  const spectrum = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(spectrum);
  const most = Math.max(...spectrum);
  const bin = analyser.context.sampleRate / analyser.fftSize;
  return {
    frequency: most > -50 ? spectrum.indexOf(most) * bin : 0,
    time: element.currentTime,
    latency: hls?.latency,
    date: hls?.playingDate && Date.now() - hls.playingDate,
    errors,
  };
}

/** Waits until a player plays this tone, or silence if it is 0, and returns what it is doing. */
async function hears(engine, playlist, frequency) {
  let last;
  await until(async () => {
    last = await engine.evaluate(look, playlist);
    assert.ok(!last.errors.some((error) => error.startsWith("fatal")), `${playlist}: ${last.errors}`);
    return Math.abs(last.frequency - frequency) < 50;
  }, `${frequency} Hz`).catch((error) => {
    error.message += ` in ${playlist}: ${JSON.stringify(last)}`;
    throw error;
  });
  return last;
}

/** Plays both playlists of a mount in a browser, while its sources come and go. `engine` has the method `evaluate`. */
async function judge(context, mount, source, engine, players = PLAYLISTS) {
  const every = (work) => Promise.all(players.map(work));
  const all = (frequency) => every((playlist) => hears(engine, playlist, frequency));
  const server = `http://127.0.0.1:${station.port}${mount}`;
  const listed = async () => (await (await fetch(`${server}/index.m3u8`)).text()).split("#EXTINF").length - 1;
  await until(async () => (await listed()) >= 3, "three segments");
  const file = (player) => (player === NATIVE ? "index" : player);
  await every((player) => engine.evaluate(play, player, `${server}/${file(player)}.m3u8`));
  await all(1000);
  await source.stop();
  const second = station.push(mount, tone(2000));
  const playing = await all(2000);
  await second.stop();
  const silent = await all(0);
  // The players' own clocks say when ten seconds have passed.
  await until(async () => {
    const now = await every((playlist) => engine.evaluate(look, playlist));
    return now.every(({ time }, index) => time > silent[index].time + 10);
  }, "ten seconds of silence");
  const third = station.push(mount, tone(3000));
  const last = await all(3000);
  await third.stop();
  for (const [index, playlist] of PLAYLISTS.entries()) {
    // hls.js knows; <audio> does not.
    const behind = ({ latency, date }) =>
      `${latency.toFixed(2)} s (by the date of what is heard ${(date / 1000).toFixed(2)} s)`;
    const errors = last[index].errors.join(", ") || "none";
    context.diagnostic(
      `${mount}/${playlist}: ${behind(playing[index])} behind live after the restart, ` +
        `${behind(last[index])} after the gap; errors that hls.js mended: ${errors}`,
    );
  }
}

test("hls.js plays both playlists through a restart and a gap", { concurrency: 3 }, async (context) => {
  const url = `http://127.0.0.1:${web.address().port}/`;
  const inside = (browser, mount, work) =>
    context.test(`in ${browser}`, (subtest) => work(subtest, mount, station.push(mount, tone(1000))));
  await Promise.all([
    inside("Chromium", "/chromium.opus", async (subtest, mount, source) => {
      const browser = await launch();
      const visitor = await Visitor.open(browser, url);
      const evaluate = (work, ...args) => visitor.page.evaluate(`(${work})(...${JSON.stringify(args)})`);
      await judge(subtest, mount, source, { evaluate });
      await visitor.close();
      await browser.close();
    }),
    inside("Firefox", "/firefox.opus", async (subtest, mount, source) => {
      const firefox = await Firefox.start(listenIn);
      await firefox.goto(url);
      await judge(subtest, mount, source, firefox);
      await firefox.close();
    }),
    inside("WebKitGTK, where <audio> plays a playlist by itself too", "/webkit.opus", async (subtest, mount, source) => {
      // GStreamer's HLS is off by default, and then <audio> refuses a playlist.
      const webkit = await WebKit.start({ WEBKIT_GST_ENABLE_HLS_SUPPORT: "1" });
      await webkit.goto(url);
      await judge(subtest, mount, source, webkit, [...PLAYLISTS, NATIVE]);
      await webkit.close();
    }),
  ]);
});
