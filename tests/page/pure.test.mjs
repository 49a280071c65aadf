// The parts of the page that do not need a browser: containers, catch-up, clock and QR code.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { test } from "node:test";
import { LiveClock, ServerTime } from "../../src/web/model/clock.js";
import { recall, remember } from "../../src/web/model/preferences.js";
import * as mp4 from "../../src/web/media/mp4.js";
import { join } from "../../src/web/media/bytes.js";
import { Pages } from "../../src/web/media/ogg.js";
import { readComments, readHead, sameDecoder, samples } from "../../src/web/media/opus.js";
import { Timeline } from "../../src/web/media/received-packets.js";
import { withStereo } from "../../src/web/media/whep.js";
import { CatchUp } from "../../src/web/media/catch-up.js";
import { moment } from "../../src/web/model/messages.js";
import { encode } from "../../src/web/view/qr.js";
import * as webm from "../../src/web/media/webm.js";

const readCode = createRequire(import.meta.url)("jsqr");

function ffmpeg(args, input) {
  return execFileSync("ffmpeg", ["-v", "error", ...args], { input, maxBuffer: 1 << 26 });
}

function record(seconds, ...options) {
  return ffmpeg([
    "-f", "lavfi", "-i", `sine=1000:duration=${seconds}`, "-c:a", "libopus", ...options, "-f", "ogg", "pipe:1",
  ]);
}

function audio(pages) {
  return pages.slice(2).flatMap((page) => page.packets);
}

test("pages are read from pieces of any size", () => {
  const file = record(2, "-page_duration", "100000");
  const whole = new Pages().push(file);
  assert.ok(whole.length > 15);
  assert.ok(whole[0].first && whole.at(-1).last);
  for (const size of [1, 7, 255, 1000]) {
    const pages = new Pages();
    const found = [];
    for (let at = 0; at < file.length; at += size) found.push(...pages.push(file.subarray(at, at + size)));
    assert.deepEqual(found, whole);
  }
});

test("bytes that are not part of a page are skipped", () => {
  const file = record(1, "-page_duration", "20000");
  const whole = new Pages().push(file);
  const spoilt = join([Buffer.from("OggNonsense"), file.subarray(0, 300), Buffer.from("xOgg"), file.subarray(300)]);
  const found = new Pages().push(spoilt);
  assert.ok(found.length >= whole.length - 3 && found.at(-1).last);
});

test("the granules of real pages agree with the lengths of their packets", () => {
  for (const frame of ["2.5", "5", "10", "20", "40", "60"]) {
    const pages = new Pages().push(record(1, "-frame_duration", frame, "-page_duration", "20000"));
    let granule = 0;
    for (const page of pages.slice(2, -1)) {
      for (const packet of page.packets) granule += samples(packet);
      assert.equal(page.granule, granule, frame);
    }
    assert.ok(granule > 40_000);
  }
  // Padded silence, with which the server fills gaps: code 3, one frame.
  assert.equal(samples(Uint8Array.from([0xfb, 0x41, 0x01, 0, 0])), 960);
  assert.equal(samples(new Uint8Array(0)), 0);
});

test("the header is read, and decoders are compared by it", () => {
  const head = readHead(new Pages().push(record(1, "-ac", "2"))[0].packets[0]);
  assert.deepEqual([head.channels, head.preSkip, head.inputRate, head.family], [2, 312, 48000, 0]);
  assert.ok(sameDecoder(head, { ...head, preSkip: 0 }));
  assert.ok(!sameDecoder(head, { ...head, channels: 1 }));
  assert.equal(readHead(Buffer.from("\x01vorbis and so on and on")), null);
});

test("comments are read, whatever their lengths are as characters", () => {
  for (const length of [1, 48, 57, 84, 90, 300]) {
    const wanted = [`DATE=2026-05-01T04:12:30.250Z`, `GAP=${"x".repeat(length)}`, "TITLE=Bäche"];
    const given = wanted.flatMap((comment) => ["-metadata", comment]);
    const [, tags] = new Pages().push(record(1, ...given));
    const comments = readComments(tags.packets[0]);
    for (const comment of wanted) assert.ok(comments.some((one) => one.toUpperCase() === comment.toUpperCase()), comment);
    // Of a header that goes on elsewhere, what is there.
    assert.deepEqual(readComments(tags.packets[0].subarray(0, -1)), comments.slice(0, -1));
  }
});

for (const [name, { init, fragment }] of Object.entries({ MP4: mp4, WebM: webm })) {
  for (const frame of ["20", "2.5"]) {
    test(`Ogg becomes ${name} that decodes to the same audio, ${frame} ms`, () => {
      const file = record(2, "-page_duration", "20000", "-frame_duration", frame, "-application", "lowdelay");
      const pages = new Pages().push(file);
      const head = readHead(pages[0].packets[0]);
      const packets = audio(pages).map((data) => ({ data, samples: samples(data) }));
      const parts = [init(head)];
      // As in a stream that began days ago.
      for (let i = 0, time = 2 ** 33; i < packets.length; i += 3) {
        const some = packets.slice(i, i + 3);
        parts.push(fragment(i + 1, time, some));
        time += some.reduce((sum, packet) => sum + packet.samples, 0);
      }
      const decode = (input) => ffmpeg(["-i", "pipe:0", "-f", "s16le", "pipe:1"], input);
      const [from, to] = [decode(file), decode(join(parts))];
      // A decoder of Ogg removes the pre-skip and the padding at the end.
      const begin = to.indexOf(from.subarray(9600, 9800));
      assert.ok(begin >= 0, "the audio differs");
      assert.equal(begin - 9600, head.preSkip * 2);
      const same = from.length - 9600 - 4000;
      assert.ok(to.subarray(begin, begin + same).equals(from.subarray(9600, 9600 + same)));
    });
  }
}

/** Simulates playback over a link that delivers a page every 20 ms, `delay(i)` late, in a page that is hidden or not. */
function play(seconds, delay, { catchUp = new CatchUp(), isHidden = () => false } = {}) {
  let position = -0.2;
  let last = 0;
  let end = 0;
  const portions = [];
  let starved = 0;
  const behind = [];
  const arrivals = Array.from({ length: seconds * 50 }, (_, i) => i * 0.02 + delay(i));
  // Nothing overtakes on one connection.
  arrivals.forEach((at, i) => (arrivals[i] = Math.max(at, arrivals[i - 1] ?? 0)));
  arrivals.forEach((now, i) => {
    position += (now - last) * catchUp.rate;
    last = now;
    if (position > end) {
      position = end;
      starved += 1;
      catchUp.starved(now);
    }
    behind.push(now - position);
    const come = (i + 1) * 0.02;
    if (come - end < catchUp.portion(now, isHidden(i))) return;
    catchUp.arrived(now, end, position);
    portions.push(come - end);
    end = come;
  });
  return { behind, starved, catchUp, portions };
}

test("on a good link, playback stays near live at exactly normal speed", () => {
  const { behind, starved, catchUp } = play(120, () => 0.01);
  assert.equal(starved, 0);
  assert.equal(catchUp.rate, 1);
  assert.ok(behind.at(-1) < 0.25, `${behind.at(-1)}`);
});

test("after a stall, playback catches up by playing slightly faster", () => {
  let fastest = 0;
  const catchUp = new CatchUp();
  const { behind } = play(120, (i) => {
    fastest = Math.max(fastest, catchUp.rate);
    return i > 500 && i < 650 ? (650 - i) * 0.02 : 0;
  }, { catchUp });
  assert.ok(behind[651] > 2, "it did stall");
  assert.ok(fastest <= 1.08);
  assert.ok(behind.at(-1) < 0.5, `${behind.at(-1)}`);
});

test("on a bad link the buffer grows until it suffices, and shrinks when the link is good again", () => {
  const ragged = (i) => (i < 6000 && i % 50 < 15 ? (15 - (i % 50)) * 0.02 : 0);
  const { behind, starved } = play(400, ragged);
  const most = Math.max(...behind.slice(4000, 6000));
  assert.ok(starved > 0 && starved < 5, `${starved} times starved`);
  assert.ok(most > 0.35 && most < 0.9, `${most}`);
  assert.ok(behind.at(-1) < 0.3, `${behind.at(-1)}`);
});

test("a hidden page appends larger portions, does not run dry for it, and comes back to live when it is seen", () => {
  const { behind, starved, portions, catchUp } = play(120, () => 0.01, { isHidden: (i) => i > 500 && i < 3000 });
  assert.equal(starved, 0);
  const most = Math.max(...portions);
  assert.ok(most > 0.19 && most < 0.23, `${most} s at once`);
  assert.ok(portions.length < 4700, `${portions.length} portions`);
  assert.equal(catchUp.rate, 1);
  assert.ok(behind.at(-1) < 0.25, `${behind.at(-1)}`);
});

test("the clock uses the promptest event, and starts again when the server's clock is set or the stream is another", () => {
  const time = new ServerTime();
  const clock = new LiveClock(time);
  assert.equal(clock.live(0), null);
  clock.heard(48_000, 1_000_000);
  assert.deepEqual([clock.live(0), clock.wall(48_000)], [null, 1_000_000]);
  time.heard(1_000_000, 5_000);
  time.heard(1_002_000, 7_400); // held up by 0.4 s
  assert.equal(clock.live(8_000), 4 * 48_000);
  assert.equal(clock.live(68_000), 64 * 48_000, "no other event is needed");
  clock.heard(9_600_000, 1_003_000);
  assert.equal(clock.live(8_000), 9_600_000);
  time.heard(2_000_000, 9_000);
  assert.equal(time.at(9_000), 2_000_000);
});

test("a time has its date, unless it is within half a day", () => {
  const hours = (count) => moment(Date.now() + count * 3_600_000);
  assert.deepEqual([-13, -11, 0, 11, 13, 720].map((count) => hours(count).includes(", ")), [true, false, false, false, true, true]);
});

test("an independent reader can read the QR codes", () => {
  for (const length of [1, 14, 15, 62, 107, 152, 180, 300, 500, 666]) {
    const text = `http://stätion.test:8080/?mount=/mic-${"ultra".repeat(150)}`.slice(0, Math.max(1, length - 1));
    const code = encode(text);
    const [size, quiet] = [4, 4];
    const side = (code.length + 2 * quiet) * size;
    const pixels = new Uint8ClampedArray(side * side * 4).fill(255);
    for (let y = 0; y < side; y += 1) {
      for (let x = 0; x < side; x += 1) {
        const on = code[Math.floor(y / size) - quiet]?.[Math.floor(x / size) - quiet];
        if (on) pixels.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
      }
    }
    const read = readCode(pixels, side, side);
    assert.equal(new TextDecoder().decode(Uint8Array.from(read.binaryData)), text);
  }
  assert.equal(encode("x".repeat(667)), null);
});

test("without storage, preferences last for one visit", () => {
  assert.equal(recall("volume", 80), 80);
  remember("volume", 30);
  assert.equal(recall("volume", 80), 30);
});

test("an offer asks for both channels, whatever the browser wrote of Opus", () => {
  const offer = (...lines) => ["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111 0", ...lines, "a=rtpmap:0 PCMU/8000", ""].join("\r\n");
  const parameters = (sdp) => sdp.split("\r\n").filter((line) => line.startsWith("a=fmtp:"));
  const chromium = offer("a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1");
  assert.deepEqual(parameters(withStereo(chromium)), ["a=fmtp:111 minptime=10;useinbandfec=1;stereo=1"]);
  const bare = offer("a=rtpmap:111 OPUS/48000/2");
  assert.deepEqual(parameters(withStereo(bare)), ["a=fmtp:111 stereo=1"]);
  assert.equal(withStereo(bare).replace("a=fmtp:111 stereo=1\r\n", ""), bare);
  assert.equal(withStereo(offer()), offer());
});

test("packets by RTP have their place, also when their time starts again at zero", () => {
  const timeline = new Timeline();
  const begin = timeline.place(2 ** 32 - 960, 960);
  assert.equal(begin, 2 ** 32 - 960);
  assert.equal(timeline.place(0, 960), 2 ** 32, "it follows");
  assert.equal(timeline.place(1920, 960), 2 ** 32 + 1920, "one is missing");
  assert.equal(timeline.place(960, 960), null, "too late");
  assert.equal(timeline.place(2880, 0), null, "no packet of Opus");
  assert.equal(timeline.place(2880, 2880), 2 ** 32 + 2880);
});
