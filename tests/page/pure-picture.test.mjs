// The parts of the picture that do not need a browser: spectra, columns, colours, axes, and what belongs where.

import assert from "node:assert/strict";
import { test } from "node:test";
import { offset } from "../../src/web/media/alignment.js";
import { LOUDEST, QUIETEST, Spectrum } from "../../src/web/media/spectrum.js";
import { LiveClock, ServerTime } from "../../src/web/model/clock.js";
import { Columns, MISSING, RATE, RECEIVED, UNKNOWN } from "../../src/web/model/columns.js";
import { Past } from "../../src/web/model/past.js";
import { RtpPlaces } from "../../src/web/model/rtp-places.js";
import { Steps, STEP } from "../../src/web/model/steps.js";
import { suited } from "../../src/web/view/contrast.js";
import { palette, PALETTES } from "../../src/web/view/palette.js";
import { hertz, look, rows, Scale, timeStep } from "../../src/web/view/scale.js";

test("frequencies and labels agree on both axes", () => {
  for (const [kind, lowest, highest] of [["linear", 0, 24_000], ["log", 0, 24_000], ["linear", 2_000, 12_000], ["log", 500, 8_000]]) {
    const scale = new Scale(kind, lowest, highest);
    for (const tick of scale.ticks(10)) {
      if (tick === 0) continue;
      assert.ok(Math.abs(scale.frequency(scale.position(tick)) - tick) < 1e-6);
    }
    assert.equal(scale.position(highest), 1);
    const spectrum = new Uint8Array(1024);
    spectrum[Math.round((5_000 / 24_000) * 1024)] = 255;
    const bright = rows(scale, 400, 1024, 24_000).map((row) => look(spectrum, row));
    const row = bright.indexOf(Math.max(...bright));
    const found = scale.frequency(1 - (row + 0.5) / 400);
    assert.ok(Math.abs(found - 5_000) < 100, `${kind}: ${found}`);
  }
  assert.deepEqual([0, 500, 1000, 12_500].map(hertz), ["0 Hz", "500 Hz", "1 kHz", "12.5 kHz"]);
});

test("in each colour map louder is steadily brighter, or darker, and what is missing has another hue", () => {
  const parts = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  const light = (pixel) => parts(pixel).reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  for (const name of PALETTES) {
    for (const dark of [true, false]) {
      const { loudness, missing } = palette(name, dark);
      const isBrighter = name !== "grey" || dark;
      const steps = [...loudness].map(light);
      // Each part of a colour is rounded.
      assert.ok(steps.every((value, i) => i === 0 || (isBrighter ? value > steps[i - 1] - 1 : value < steps[i - 1] + 1)), name);
      assert.ok(Math.abs(steps[255] - steps[0]) > 180, name);
      // Evenly: no part of the range has hardly any difference.
      for (let i = 32; i < 256; i += 32) assert.ok(Math.abs(steps[i] - steps[i - 32]) > 10, `${name} at ${i}`);
      assert.notEqual(light(missing[0]), light(missing[1]));
      for (const colour of missing) {
        const nearest = Math.min(...[...loudness].map((one) => Math.hypot(...parts(one).map((part, i) => part - parts(colour)[i]))));
        assert.ok(nearest > 20, `${name}: ${nearest}`);
      }
    }
  }
});

test("a spectrum is that of its samples", () => {
  const size = 256;
  const spectrum = new Spectrum(size);
  let seed = 1;
  const noise = () => ((seed = (seed * 48_271) % 0x7fffffff) / 0x7fffffff - 0.5) * 0.01;
  const signal = Float32Array.from({ length: 2 * size }, (_, i) => 0.5 * Math.sin(i / 3) + 0.05 * Math.cos(2 * i) + noise());
  const column = new Uint8ClampedArray(spectrum.bins);
  spectrum.write(signal, 77, column);
  for (let bin = 0; bin < spectrum.bins; bin += 1) {
    let [real, imaginary] = [0, 0];
    for (let i = 0; i < size; i += 1) {
      const phase = (2 * Math.PI * i) / size;
      const value = signal[77 + i] * (0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase));
      real += value * Math.cos(bin * phase);
      imaginary -= value * Math.sin(bin * phase);
    }
    const truth = 20 * Math.log10(Math.hypot(real, imaginary) / size);
    const said = QUIETEST + (column[bin] * (LOUDEST - QUIETEST)) / 255;
    assert.ok(Math.abs(said - truth) < 0.5, `bin ${bin}: ${said} dB, not ${truth}`);
  }
});

test("steps have the spectrum of their place, in whatever pieces samples come", () => {
  const begin = 10_000_000;
  // One click in each second, and the tone of its number.
  const sample = (granule) => (granule % 48_000 < 800 ? Math.sin((2 * Math.PI * 6000 * granule) / 48_000) : 0);
  const all = Float32Array.from({ length: 5 * 48_000 }, (_, i) => sample(begin + i));
  for (const piece of [120, 960, 2880, 50_000]) {
    const columns = new Columns(1024);
    const steps = new Steps(columns);
    for (let at = 0; at < all.length; at += piece) steps.add(all.subarray(at, at + piece), begin + at);
    for (let number = Math.ceil(begin / STEP) + 2; number < columns.end; number += 1) {
      assert.equal(columns.state(number), RECEIVED);
      const isClick = (number * STEP) % 48_000 === 0;
      assert.equal(columns.peak(number) > 0.5, isClick, `${number}, in pieces of ${piece}`);
      if (isClick) assert.equal(columns.column(number).indexOf(Math.max(...columns.column(number))), 256);
    }
  }
});

test("what was not received has no spectrum, and is no silence", () => {
  const columns = new Columns(1024);
  const steps = new Steps(columns);
  steps.add(new Float32Array(48_000), 0);
  steps.add(new Float32Array(48_000), 96_000);
  // What comes again changes nothing.
  steps.add(new Float32Array(960).fill(1), 100_000);
  assert.deepEqual([30, 90, 150, 400].map((number) => columns.state(number)), [RECEIVED, MISSING, RECEIVED, UNKNOWN]);
  assert.equal(columns.peak(125), 0);
  // Another stream begins elsewhere: nothing is known of what was before.
  steps.add(new Float32Array(48_000), 480_000_000);
  assert.equal(columns.state(600_030), RECEIVED);
  assert.equal(columns.state(30), UNKNOWN);
});

test("what a source did not send is missing, although silence was received", () => {
  const columns = new Columns(1024);
  const quiet = new Float32Array(480_000).fill(0.001);
  // The silence begins before it is noticed.
  quiet.fill(0, 90 * STEP, 190 * STEP);
  new Steps(columns).add(quiet, 0);
  columns.takeChanged();
  columns.absentFrom(100);
  columns.absentFrom(101);
  assert.ok(columns.takeChanged() < 90);
  columns.absentUntil(200);
  const shown = [88, 91, 100, 199, 200].map((number) => columns.shown(number));
  assert.deepEqual(shown, [RECEIVED, MISSING, MISSING, MISSING, RECEIVED]);
  assert.equal(columns.state(150), RECEIVED);
});

test("a gap of the past is missing, also when it is told twice and the source is absent again", () => {
  const columns = new Columns(1024);
  new Steps(columns).add(new Float32Array(480_000).fill(0.001), 0);
  columns.absentFrom(500);
  columns.takeChanged();
  columns.absent(100, 150);
  assert.equal(columns.takeChanged(), 100);
  columns.absent(100, 150);
  assert.equal(columns.takeChanged(), Infinity);
  columns.absent(140, 200);
  columns.absentUntil(550);
  const shown = [99, 100, 199, 200, 500, 549].map((number) => columns.shown(number));
  assert.deepEqual(shown, [RECEIVED, MISSING, MISSING, RECEIVED, MISSING, MISSING]);
});

test("an absence that a clip tells first goes on after the clip", () => {
  const columns = new Columns(1024);
  new Steps(columns).add(new Float32Array(480_000).fill(0.001), 0);
  columns.absent(100, 200);
  columns.absentFrom(120);
  assert.deepEqual([99, 150, 300, 580].map((number) => columns.shown(number)), [RECEIVED, MISSING, MISSING, MISSING]);
});

test("old columns are forgotten, and more are kept where a person looks back further", () => {
  const columns = new Columns(8);
  for (let number = 0; number < 10_000; number += 1) columns.put(number, 0).fill(number % 251);
  assert.equal(columns.begin, 10_000 - columns.kept);
  assert.equal(columns.state(columns.begin - 1), UNKNOWN);
  assert.equal(columns.column(columns.begin)[0], columns.begin % 251);
  columns.put(10, 0).fill(1);
  assert.equal(columns.state(10), UNKNOWN);
  columns.kept = 10_000;
  columns.put(10, 0).fill(1);
  assert.deepEqual([columns.state(10), columns.takeChanged()], [RECEIVED, 10]);
});

test("packets are found in another series of packets", () => {
  const packet = (number) => Uint8Array.from([7, number, number * 3]);
  const some = Array.from({ length: 10 }, (_, i) => ({ data: packet(i + 20), at: 1000 + 960 * i }));
  const others = Array.from({ length: 50 }, (_, i) => ({ data: packet(i), at: 960 * i }));
  assert.equal(offset(some, others), 20 * 960 - 1000);
  assert.equal(offset(some, others.slice(0, 22)), null, "two may be by chance");
  const silence = Array.from({ length: 50 }, (_, i) => ({ data: packet(0), at: 960 * i }));
  assert.equal(offset(silence.slice(10, 20), silence), null, "silence is the same everywhere");
});

/** A server: what it has in memory from `begin` to `end`, as Unix time in milliseconds, in packets of 20 ms. */
class Server {
  queries = [];

  constructor(begin, end) {
    Object.assign(this, { first: begin, end });
  }

  packets(from, to) {
    const count = Math.round((to - from) / 20);
    return Array.from({ length: count }, (_, i) => {
      const number = Math.round(from / 20) + i;
      return { data: Uint8Array.from([number >> 16, number >> 8, number]), samples: 960 };
    });
  }

  clip = async (query) => {
    this.queries.push(query);
    const parameters = new URLSearchParams(query);
    const seconds = parseFloat(parameters.get("clip") ?? "");
    const [from, to] = seconds
      ? [this.end - seconds * 1000, this.end]
      : ["from", "to"].map((name) => Date.parse(parameters.get(name)));
    const head = { channels: 1, preSkip: 960, gain: 0, family: 0, mapping: [] };
    // With a packet before it, which prepares the decoder.
    return { head, packets: this.packets(from - 20, to), date: from };
  };

  file = async () => null;
  begin = async () => this.first;
}

function clockOf(granule, unix, now = 0) {
  const time = new ServerTime();
  time.heard(unix, now);
  const clock = new LiveClock(time);
  clock.heard(granule, unix);
  return clock;
}

test("a clip has its place to the sample, although the clock is wrong by some milliseconds", async () => {
  const server = new Server(0, 100_000);
  const columns = new Columns(8);
  const filled = [];
  // The clock is wrong by 17 ms.
  const past = new Past(server, clockOf(4_800_000, 100_017), columns, async (clip, granule) => filled.push([clip, granule]));
  past.live(server.packets(99_000, 99_200), 99_000 * 48);
  await past.begin();
  await past.begin();
  assert.deepEqual(server.queries, ["clip=40s"]);
  assert.equal(filled[0][1], 60_000 * 48);
  assert.equal(past.error, 17 * 48);
});

test("what is not known of the past is fetched once, in parts, as far as the server has it", async () => {
  const server = new Server(10_000, 100_000);
  const columns = new Columns(8);
  columns.kept = 200 * RATE;
  columns.put(100 * RATE - 1, 0);
  const past = new Past(server, clockOf(4_800_000, 100_000), columns, async ({ packets }, granule) => {
    for (let i = 0; i < packets.length; i += 1) columns.put(Math.floor((granule + i * 960) / STEP), 0);
  });
  for (let i = 0; i < 20; i += 1) await past.reach(0, 100 * RATE);
  const asked = server.queries.map((query) => [...new URLSearchParams(query).values()].map((time) => Date.parse(time) / 1000));
  assert.deepEqual(asked.map(([from, to]) => [Math.round(from), Math.round(to)]), [[67, 97], [37, 67], [11, 37]]);
  assert.equal(past.length, 89 * RATE);
});

test("packets of WebRTC get their place from the server's memory, and by the clock where that fails", async () => {
  for (const isSilent of [false, true]) {
    const server = new Server(0, 100_000);
    if (isSilent) server.clip = async () => null;
    const clock = clockOf(4_800_000, 100_000);
    const shown = [];
    const past = new Past(server, clock, new Columns(8), async () => {});
    const picture = { past, packets: (packets, granule) => shown.push(granule) };
    const places = new RtpPlaces(picture, server, clock);
    const packets = server.packets(99_000, 100_000);
    for (let i = 0; i < packets.length; i += 1) {
      places.add(packets[i], 777 + 960 * i, -1000 + 20 * i);
      await new Promise(setImmediate);
    }
    assert.equal(shown.length, packets.length);
    assert.equal(places.newest, shown.at(-1) + 960);
    if (isSilent) assert.ok(Math.abs(shown[0] - 99_000 * 48) < 0.03 * 48_000, `${shown[0]}`);
    else assert.equal(shown[0], 99_000 * 48);
  }
});

test("the contrast follows what there is in steps, and silence leaves it as it is", () => {
  const decibels = (value) => value - 140;
  const present = { floor: -100, ceiling: -40 };
  const counts = (spread) => Uint32Array.from({ length: 256 }, (_, value) => spread[value] ?? 0);
  assert.equal(suited(counts({ 0: 1000 }), present, decibels), present);
  const quiet = suited(counts({ 12: 1000, 20: 1000, 80: 20 }), present, decibels);
  assert.deepEqual(quiet, { floor: -130, ceiling: -60 });
  // A little more or less changes nothing.
  assert.equal(suited(counts({ 14: 1000, 22: 1000, 79: 20 }), quiet, decibels), quiet);
  const noise = suited(counts({ 60: 1000, 61: 1000 }), present, decibels);
  assert.ok(noise.ceiling - noise.floor >= 35);
});

test("labels of time are as many as fit", () => {
  assert.deepEqual([[5, 10], [20, 10], [60, 10], [900, 8]].map(([span, most]) => timeStep(span, most)), [1, 2, 10, 120]);
});
