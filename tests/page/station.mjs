// A station for a test: the real server on a port that the system chooses, and real FFmpeg as its microphones.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { Pages } from "../../src/web/media/ogg.js";

/** A path in the repository. */
export const repository = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const BINARY =
  process.env.SILVACAST ?? join(process.env.CARGO_TARGET_DIR ?? repository("target"), "debug/silvacast");
const PASSWORD = "häckme";
export const ADMIN_PASSWORD = "other";
// Not a secure context, as a station on plain http is not one.
export const HOST = "station.test";
export const LOOPBACK = "127.0.0.1";
/** This machine in the network that `in-network` makes, where browsers use WebRTC. It is no secure context either. */
export const NETWORK = "10.99.0.1";
/** How long a test waits for something, in milliseconds. It has to be enough for a machine that is busy with a build. */
export const PATIENCE = 60_000;

// What a failed test leaves running must not delay the next ones.
const running = new Set();
after(() => running.forEach((child) => child.kill("SIGKILL")));

function start(program, args, options) {
  const child = spawn(program, args, options);
  running.add(child.once("exit", () => running.delete(child)));
  return child;
}

export class Station {
  #folder;
  #config;
  #prefix = "";
  #listen = 0;
  #address = LOOPBACK;
  #child;
  #sources = new Set();

  static async start(config = "") {
    const station = new Station();
    station.#folder = await mkdtemp(join(tmpdir(), "silvacast-page-"));
    // The server, which has dropped root's privileges, reads its configuration again.
    await chmod(station.#folder, 0o755);
    station.#config = config;
    return station;
  }

  /** With this in front of every path. */
  under(prefix) {
    this.#prefix = prefix;
    return this;
  }

  /** At this address, and not on loopback. */
  at(address) {
    this.#address = address;
    return this;
  }

  /** A file that the configuration names as FOLDER/name. */
  async file(name, text) {
    await writeFile(join(this.#folder, name), text, { mode: 0o644 });
  }

  /** Writes another configuration file. The server has the old one until it reads the file again. */
  async configure(config, port = this.#listen) {
    this.#listen = port;
    const text = `listen = ["${this.#address}:${port}"]\npath_prefix = "${this.#prefix}"\n[auth]\nsource_password = "${PASSWORD}"\nadmin_password = "${ADMIN_PASSWORD}"\n`;
    await writeFile(this.#file, text + config.replaceAll("FOLDER", this.#folder));
  }

  get #file() {
    return join(this.#folder, "silvacast.toml");
  }

  async up(port = 0) {
    await this.configure(this.#config, port);
    this.#child = start(BINARY, ["--config", this.#file], { stdio: ["ignore", "pipe", "pipe"] });
    this.port = Number(await announced(this.#child, / ready .*listen="[\d.]+:(\d+)/));
    return this;
  }

  /** Kills the server, as a power cut does. */
  async down() {
    await end(this.#child, "SIGKILL");
  }

  async stop() {
    await Promise.all([...this.#sources].map((source) => source.stop()));
    await end(this.#child, "SIGTERM");
    await rm(this.#folder, { recursive: true, force: true });
  }

  url(path = "") {
    return `http://${this.#address === LOOPBACK ? HOST : this.#address}:${this.port}/${path}`;
  }

  /** What the server says of its mounts. */
  async mounts() {
    const answer = await fetch(`http://${this.#address}:${this.port}/api/v1/mounts`);
    return (await answer.json()).mounts;
  }

  /** Disconnects all listeners of a mount, as an administrator. Others may be leaving by themselves. */
  async disconnectAll(mount) {
    const server = `http://${this.#address}:${this.port}`;
    const headers = { Authorization: `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString("base64")}` };
    const answer = await fetch(`${server}/api/v1/listeners`, { headers });
    const { listeners } = await answer.json();
    for (const { id } of listeners.filter((listener) => listener.mount === mount)) {
      const query = new URLSearchParams({ mount, id });
      const killed = await fetch(`${server}/admin/killclient?${query}`, { headers });
      if (!killed.ok) throw new Error(await killed.text());
    }
  }

  /** A microphone that hears `sound`, a source of FFmpeg's. */
  push(mount, sound, { codec = ["libopus", "-b:a", "64k"], name } = {}) {
    const child = ffmpeg(sound, codec, [
      ...(name ? ["-ice_name", name] : []),
      "-content_type", "audio/ogg", "-f", "ogg",
      this.#pushUrl(mount, PASSWORD),
    ]);
    // A recorder that hangs, and keeps its connection.
    return Object.assign(this.#source(() => end(child, "SIGKILL")), { hang: () => child.kill("SIGSTOP") });
  }

  /** Lets FFmpeg try to send something that the server refuses. Returns its exit code. */
  async pushRefused(mount, { password = PASSWORD, format = ["libopus", "-content_type", "audio/ogg", "-f", "ogg"] }) {
    const [codec, ...output] = format;
    const child = start("ffmpeg", [
      "-v", "error", "-re", "-f", "lavfi", "-i", tone(1000), "-c:a", codec, ...output, this.#pushUrl(mount, password),
    ]);
    const [code] = await within(once(child, "exit"), () => "the end of an encoder that is refused");
    return code;
  }

  /** An encoder that connects again and again, whatever happens. */
  async pushForEver(mount) {
    const sound = join(this.#folder, `sound-${this.#sources.size}.opus`);
    const made = start("ffmpeg", ["-v", "error", "-y", "-f", "lavfi", "-i", tone(1000), "-t", "5", "-c:a", "libopus", sound]);
    await within(once(made, "exit"), () => "the end of FFmpeg");
    await this.file("password", PASSWORD);
    const password = ["--password-file", join(this.#folder, "password")];
    const url = `http://${this.#address}:${this.port}${mount}`;
    const child = start(BINARY, ["push", sound, url, "--loop", ...password], { stdio: "ignore" });
    return this.#source(() => end(child, "SIGKILL"));
  }

  #pushUrl(mount, password) {
    return `icecast://source:${encodeURIComponent(password)}@${this.#address}:${this.port}${mount}`;
  }

  /**
   * A microphone that beeps for 0.3 s, every 2 s. FFmpeg makes its pages, which are
   * handed on here, so that it is known when each beep left: `beeps`, as Unix time in milliseconds.
   */
  async beep(mount) {
    const child = ffmpeg(
      "aevalsrc='if(lt(mod(t,2),0.3),0.4*sin(2*PI*3000*t),0)':s=48000",
      ["libopus", "-b:a", "64k"],
      ["-f", "ogg", "pipe:1"],
    );
    const socket = net.connect(this.port, this.#address);
    socket.setNoDelay(true);
    const login = Buffer.from(`source:${PASSWORD}`).toString("base64");
    socket.write(
      `PUT ${mount} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${login}\r\nContent-Type: audio/ogg\r\nExpect: 100-continue\r\n\r\n`,
    );
    await once(socket, "data", { signal: AbortSignal.timeout(PATIENCE) });
    socket.resume();
    const beeps = [];
    const pages = new Pages();
    child.stdout.on("data", (data) => {
      const now = performance.timeOrigin + performance.now();
      socket.write(data);
      for (const page of pages.push(data)) {
        // A page ends with this sample, and has 20 ms.
        const last = page.granule - 312;
        const begin = Math.floor(last / 96_000) * 96_000;
        if (begin > 0 && last > begin && last - 960 <= begin) beeps.push(now);
      }
    });
    const source = this.#source(async () => {
      await end(child, "SIGKILL");
      socket.destroy();
    });
    return Object.assign(source, { beeps });
  }

  #source(stop) {
    const source = {
      stop: async () => {
        if (this.#sources.delete(source)) await stop();
      },
    };
    this.#sources.add(source);
    return source;
  }
}

export const tone = (frequency) => `sine=${frequency}:sample_rate=48000`;

function ffmpeg(sound, codec, output) {
  const args = ["-v", "error", "-re", "-f", "lavfi", "-i", sound, "-c:a", ...codec, "-page_duration", "20000", ...output];
  const child = start("ffmpeg", args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (data) => (said += data));
  // The test fails for want of its audio: this says why.
  child.once("exit", (code) => {
    if (code !== null) console.error(`ffmpeg ended with ${code}: ${said}`);
  });
  return child;
}

/** Waits until a program prints what matches `pattern`, and returns its group. */
export async function announced(child, pattern) {
  let said = "";
  return within(
    new Promise((found, failed) => {
      const read = (data) => {
        said += data;
        const match = said.match(pattern);
        if (match) found(match[1]);
      };
      child.stdout?.on("data", read);
      child.stderr?.on("data", read);
      child.once("exit", () => failed(new Error(`${child.spawnfile} ended: ${said}`)));
      child.once("error", failed);
    }),
    () => `${child.spawnfile} to print ${pattern}; it printed: ${said}`,
  );
}

/** Waits for a promise for at most `PATIENCE`. */
export async function within(promise, what) {
  let timer;
  const late = new Promise((_, failed) => {
    timer = setTimeout(() => failed(new Error(`it never came: ${what()}`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function end(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await within(gone, () => `the end of ${child.spawnfile}`);
}

/** Waits until `look` returns something true, and returns it. */
export async function until(look, what, patience = PATIENCE) {
  const last = performance.now() + patience;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > last) throw new Error(`it never came: ${what ?? look}`);
    // Only the interval of polling: nothing relies on its length.
    await new Promise((again) => setTimeout(again, 50));
  }
}
