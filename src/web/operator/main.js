// @ts-check
// The operator's page: asks for the password, then shows the station and takes commands until it is closed.

import { find, setText } from "../view/dom.js";
import { showConfiguration } from "./configuration-view.js";
import { Refused, Server } from "./server.js";
import { StationView } from "./station-view.js";

/** Time between two looks at the station, in milliseconds. */
const INTERVAL = 2_000;
/** After how many looks the configuration file is read again. */
const CONFIGURATION_EVERY = 10;
const LOCAL = ["localhost", "127.0.0.1", "[::1]"];

const part = (/** @type {string} */ selector) => find(document, selector, HTMLElement);

class OperatorPage {
  /** @type {Server | null} */
  #server = null;
  #view = new StationView((name, parameters, question) => {
    this.#command(name, parameters, question).catch((error) => this.#failed(error));
  });
  /** Looks until the configuration is read again. */
  #untilConfiguration = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  start() {
    const form = find(document, "#login form", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const [user, password] = ["user", "password"].map((name) => find(form, `[name=${name}]`, HTMLInputElement));
      const server = new Server(user?.value ?? "", password?.value ?? "");
      if (password) password.value = "";
      this.#logIn(server).catch((error) => this.#failed(error));
    });
    part("#unencrypted").hidden = location.protocol === "https:" || LOCAL.includes(location.hostname);
    part("#leave").addEventListener("click", () => this.#logOut(""));
    part("#reload").addEventListener("click", () => {
      this.#command("reloadconfig", {}, "").catch((error) => this.#failed(error));
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#look();
    });
  }

  /** @param {Server} server */
  async #logIn(server) {
    setText(part("#login-said"), "");
    await this.#show(server);
    this.#server = server;
    this.#untilConfiguration = 0;
    this.#swap(true);
    this.#look();
  }

  /** @param {string} why */
  #logOut(why) {
    this.#server = null;
    clearTimeout(this.#timer);
    setText(part("#login-said"), why);
    setText(part("#overview"), "");
    this.#swap(false);
  }

  /** @param {boolean} isIn */
  #swap(isIn) {
    part("#login").hidden = isIn;
    part("#station").hidden = !isIn;
    part("#leave").hidden = !isIn;
  }

  /** Shows the station now, and from then on while the page is seen. */
  #look() {
    clearTimeout(this.#timer);
    const server = this.#server;
    if (!server || document.hidden) return;
    const next = () => {
      if (this.#server === server) this.#timer = setTimeout(() => this.#look(), INTERVAL);
    };
    this.#show(server).catch((error) => this.#failed(error)).finally(next);
  }

  /** @param {Server} server */
  async #show(server) {
    this.#view.show(await server.state(), Date.now());
    if (this.#untilConfiguration === 0) showConfiguration(await server.configuration());
    this.#untilConfiguration = (this.#untilConfiguration + 1) % CONFIGURATION_EVERY;
    if (part("#said").dataset.tone === "error") this.#say("", "good");
  }

  /**
   * @param {string} name
   * @param {Record<string, string>} parameters
   * @param {string} question Asked before, unless it is empty.
   */
  async #command(name, parameters, question) {
    if (!this.#server || (question && !(await confirm(question)))) return;
    const said = await this.#server.command(name, parameters);
    this.#say(said, "good");
    this.#untilConfiguration = 0;
    this.#look();
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof Refused)) {
      const text = "The server does not respond. Trying again …";
      if (this.#server) this.#say(text, "error");
      else setText(part("#login-said"), text);
    } else if (error.status === 401 || !this.#server) {
      this.#logOut(error.message);
    } else {
      this.#say(error.message, "error");
    }
  }

  /**
   * @param {string} text
   * @param {"good" | "error"} tone
   */
  #say(text, tone) {
    part("#said").dataset.tone = tone;
    part("#said").className = "state";
    setText(part("#said"), text);
  }
}

/**
 * Asks before something is done.
 *
 * @param {string} question
 * @returns {Promise<boolean>}
 */
function confirm(question) {
  const dialog = find(document, "#confirm", HTMLDialogElement);
  setText(part("#confirm-text"), question);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

new OperatorPage().start();
