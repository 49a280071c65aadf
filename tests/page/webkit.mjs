// Debian's WebKitGTK, the engine of GNOME's browser and a relative of Safari's, driven through WebDriver on a virtual
// screen.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { announced, until, within } from "./station.mjs";

const MINI_BROWSER = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/webkit2gtk-4.1/MiniBrowser`;
// Plays without a user.
const ARGUMENTS = ["--automation", "--autoplay-policy=allow"];

const running = new Set();
after(() => Promise.all([...running].map((webkit) => webkit.close())));

export class WebKit {
  #children = [];
  #home;
  #url;

  /** Starts one with these environment variables. */
  static async start(variables = {}) {
    const webkit = new WebKit();
    running.add(webkit);
    webkit.#home = await mkdtemp(join(tmpdir(), "silvacast-webkit-"));
    // Prints the number of the display that it has taken.
    const screen = webkit.#spawn("Xvfb", ["-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"]);
    const display = await announced(screen, /^(\d+)\n/);
    const env = { ...process.env, ...variables, DISPLAY: `:${display}`, HOME: webkit.#home, XDG_RUNTIME_DIR: webkit.#home };
    delete env.WAYLAND_DISPLAY;
    const port = await freePort();
    webkit.#spawn("WebKitWebDriver", [`--port=${port}`], { ...env, WEBKIT_DISABLE_COMPOSITING_MODE: "1" });
    webkit.#url = `http://127.0.0.1:${port}`;
    await until(() => fetch(`${webkit.#url}/status`).then((answer) => answer.ok, () => false), "WebKitWebDriver");
    const options = { "webkitgtk:browserOptions": { binary: MINI_BROWSER, args: ARGUMENTS } };
    const { sessionId } = await webkit.#ask("POST", "/session", { capabilities: { alwaysMatch: options } });
    webkit.#url += `/session/${sessionId}`;
    return webkit;
  }

  #spawn(program, args, env = process.env) {
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "ignore"], detached: true });
    this.#children.push(child);
    return child;
  }

  async #ask(method, path, body) {
    const request = { method, ...(body && { body: JSON.stringify(body) }) };
    const answer = fetch(this.#url + path, request).then((response) => response.json());
    const { value } = await within(answer, () => `WebKit's answer to ${path}`);
    if (value?.error) throw new Error(`${value.error}: ${value.message}`);
    return value;
  }

  async goto(url) {
    await this.#ask("POST", "/url", { url });
  }

  /** What `work`, called with these arguments in the page, returns. */
  async evaluate(work, ...args) {
    const script = `const done = arguments[1];
      Promise.resolve((${work})(...JSON.parse(arguments[0]))).then((found) => done(JSON.stringify(found ?? null)));`;
    return JSON.parse(await this.#ask("POST", "/execute/async", { script, args: [JSON.stringify(args)] }));
  }

  async close() {
    if (!running.delete(this)) return;
    // With all the processes that they have started.
    for (const child of this.#children.reverse()) {
      const gone = once(child, "exit");
      process.kill(-child.pid, "SIGKILL");
      await gone;
    }
    await rm(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A port that nobody listens on. */
async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
