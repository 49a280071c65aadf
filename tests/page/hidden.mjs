// Prints what Chromium takes for a hidden page that plays, beside the least that can be: an element that plays the same
// stream by itself, in a page without anything else.
//
//   tests/page/in-network node tests/page/hidden.mjs SECONDS
//
// In percent of a core: of the page's process, and of its main thread. Playwright keeps all pages visible, so this
// speaks to Chromium itself, and hides the page behind another tab.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HOST, Station, until } from "./station.mjs";

const SECONDS = Number(process.argv[2] ?? 20);
// Until a page that was hidden has settled.
const SETTLING = 15_000;
const MOUNT = "/tone.opus";

/** Chromium with one page, by the DevTools protocol. */
class Chromium {
  #child;
  #folder;
  #session;
  #next = 0;
  #pending = new Map();

  static async start() {
    const chromium = new Chromium();
    await chromium.#start();
    return chromium;
  }

  async #start() {
    this.#folder = await mkdtemp(join(tmpdir(), "silvacast-hidden-"));
    this.#child = spawn(
      "chromium",
      [
        "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--autoplay-policy=no-user-gesture-required",
        `--host-resolver-rules=MAP ${HOST} 127.0.0.1`, `--user-data-dir=${this.#folder}`, "about:blank",
      ],
      { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
    );
    let text = "";
    this.#child.stdio[4].setEncoding("utf8").on("data", (data) => {
      const messages = `${text}${data}`.split("\0");
      text = messages.pop();
      for (const message of messages) this.#answered(JSON.parse(message));
    });
    const { targetInfos } = await this.send("Target.getTargets");
    const { targetId } = targetInfos.find(({ type }) => type === "page");
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    this.#session = sessionId;
  }

  #answered({ id, result, error }) {
    const { resolve, reject } = this.#pending.get(id) ?? {};
    this.#pending.delete(id);
    if (error) reject?.(new Error(error.message));
    else resolve?.(result);
  }

  /** To the browser, or to its page. */
  send(method, params = {}, sessionId = undefined) {
    this.#next += 1;
    const id = this.#next;
    this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
  }

  page(method, params) {
    return this.send(method, params, this.#session);
  }

  async evaluate(expression) {
    const given = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    return (await this.page("Runtime.evaluate", given)).result.value;
  }

  /** CPU time of the page until now, in seconds: of its process and of its main thread. */
  async took() {
    const { processInfo } = await this.send("SystemInfo.getProcessInfo");
    const { metrics } = await this.page("Performance.getMetrics");
    const renderers = processInfo.filter(({ type }) => type === "renderer");
    return {
      all: renderers.reduce((sum, { cpuTime }) => sum + cpuTime, 0),
      main: metrics.find(({ name }) => name === "TaskDuration").value,
      at: performance.now() / 1000,
    };
  }

  async close() {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const pass = (milliseconds) => new Promise((passed) => setTimeout(passed, milliseconds));

/** Opens a page, lets it play, hides it, and prints what it takes. */
async function measure(name, url, play) {
  const chromium = await Chromium.start();
  await chromium.page("Page.navigate", { url });
  await until(() => chromium.evaluate(play), "playback");
  await chromium.page("Performance.enable", { timeDomain: "threadTicks" });
  await pass(SETTLING);
  await chromium.send("Target.createTarget", { url: "about:blank" });
  await until(() => chromium.evaluate("document.hidden"), "the hidden page");
  await pass(SETTLING);
  const before = await chromium.took();
  await pass(SECONDS * 1000);
  const now = await chromium.took();
  const share = (what) => ((100 * (now[what] - before[what])) / (now.at - before.at)).toFixed(1);
  console.log(`| ${name} | ${share("all")} | ${share("main")} |`);
  await chromium.close();
}

const station = await (await Station.start()).up();
station.push(MOUNT, "sine=1000:r=48000", { name: "Tone" });
await until(async () => (await station.mounts()).length === 1, "the microphone");
const press = `(() => {
  const button = document.querySelector('[data-mount="${MOUNT}"] button');
  if (!globalThis.pressed && button) button.click();
  globalThis.pressed ||= button !== null;
  return document.querySelector("[data-part=state]")?.textContent === "Live";
})()`;
const element = `(async () => {
  globalThis.element ??= new Audio("${MOUNT}");
  await globalThis.element.play();
  return globalThis.element.currentTime > 1;
})()`;
console.log(`| hidden, ${SECONDS} s | process, % of a core | its main thread |\n|---|---|---|`);
await measure("the listening page", station.url(), press);
await measure("an `<audio>` element", station.url("status.xsl"), element);
await station.stop();
process.exit(0);
