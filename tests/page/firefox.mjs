// Debian's Firefox, driven through WebDriver BiDi, which it speaks itself.
//
// playwright-core uses commands that this Firefox does not have yet. The tests need little of it: a page, and scripts
// in that page.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import WebSocket from "ws";
import { announced, within } from "./station.mjs";

// What is heard: PulseAudio where one is named, and otherwise a mock of a sound card. That is slow: it needs a sixteenth
// more to play at normal speed, and WebRTC's buffer grows with it.
const SOUND_CARD = process.env.PULSE_SERVER
  ? { "media.cubeb.sandbox": false }
  : { "media.cubeb.force_mock_context": true, "media.cubeb.output_drift_factor": "1.06" };
// Plays without a user or requests of its own.
const PREFERENCES = {
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  "media.block-autoplay-until-in-foreground": false,
  ...SOUND_CARD,
  "media.gmp-manager.updateEnabled": false,
  "network.dns.localDomains": "station.test",
  "network.proxy.type": 0,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "data:,#remote-settings-dummy/v1",
  "datareporting.policy.dataSubmissionEnabled": false,
  "toolkit.telemetry.enabled": false,
  "app.normandy.enabled": false,
  "app.update.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.aboutwelcome.enabled": false,
  "termsofuse.bypassNotification": true,
  "remote.active-protocols": 1,
};

const running = new Set();
after(() => Promise.all([...running].map((firefox) => firefox.close())));

export class Firefox {
  #socket;
  #asked = new Map();
  #next = 0;
  #first;
  #end;

  /** Starts one, whose pages run `prepare` before their own scripts. */
  static async start(prepare) {
    const profile = await mkdtemp(join(tmpdir(), "silvacast-firefox-"));
    const lines = Object.entries(PREFERENCES).map(
      ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`,
    );
    await writeFile(join(profile, "user.js"), lines.join("\n"));
    const child = spawn(
      "firefox-esr",
      ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"],
      { env: { ...process.env, HOME: profile, MOZ_HEADLESS: "1" }, stdio: ["ignore", "ignore", "pipe"], detached: true },
    );
    const firefox = new Firefox();
    firefox.#end = async () => {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      // With all the processes that it has started.
      process.kill(-child.pid, "SIGKILL");
      await gone;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    };
    running.add(firefox);
    const address = await announced(child, /WebDriver BiDi listening on (ws:\S+)/);
    await firefox.#connect(`${address}/session`);
    await firefox.#ask("script.addPreloadScript", { functionDeclaration: String(prepare) });
    return firefox;
  }

  async #connect(address) {
    this.#socket = new WebSocket(address);
    const open = new Promise((resolve, reject) => {
      this.#socket.once("open", resolve).once("error", reject);
    });
    await within(open, () => "a connection to Firefox");
    this.#socket.on("message", (data) => {
      const message = JSON.parse(data);
      const asked = this.#asked.get(message.id);
      this.#asked.delete(message.id);
      if (message.type === "error") asked?.reject(new Error(`${message.error}: ${message.message}`));
      else asked?.resolve(message.result);
    });
    await this.#ask("session.new", { capabilities: {} });
    const tree = await this.#ask("browsingContext.getTree", {});
    this.#first = new Tab(this.#ask, tree.contexts[0].context);
  }

  /** Opens another one. */
  async tab() {
    const { context } = await this.#ask("browsingContext.create", { type: "tab" });
    return new Tab(this.#ask, context);
  }

  #ask = (method, params) => {
    this.#next += 1;
    const id = this.#next;
    const answer = new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
    return within(answer, () => `Firefox's answer to ${method}`);
  };

  goto(url) {
    return this.#first.goto(url);
  }

  evaluate(work, ...args) {
    return this.#first.evaluate(work, ...args);
  }

  async close() {
    if (!running.delete(this)) return;
    this.#socket?.terminate();
    await this.#end();
  }
}

class Tab {
  #ask;
  #context;

  constructor(ask, context) {
    this.#ask = ask;
    this.#context = context;
  }

  async goto(url) {
    await this.#ask("browsingContext.navigate", { context: this.#context, url, wait: "complete" });
  }

  /** What `work`, called with these arguments in the page, returns. */
  async evaluate(work, ...args) {
    const { result, exceptionDetails } = await this.#ask("script.callFunction", {
      functionDeclaration: `async (args) => JSON.stringify(await (${work})(...JSON.parse(args)) ?? null)`,
      arguments: [{ type: "string", value: JSON.stringify(args) }],
      target: { context: this.#context },
      awaitPromise: true,
      userActivation: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return JSON.parse(result.value);
  }

  async close() {
    await this.#ask("browsingContext.close", { context: this.#context });
  }
}
