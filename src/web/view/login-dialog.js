// @ts-check
// Asks for the user name and password, or the token, of a protected microphone.
//
// What is entered is kept while the page is open, and nowhere else.

import { say } from "../model/language.js";
import { ACCESS } from "../model/messages.js";
import { title } from "../model/mounts.js";
import { STATES } from "../model/states.js";
import { find } from "./dom.js";

/** @typedef {import("../model/listening.js").Listening} Listening */

const MARKUP = `
<dialog id="login" aria-labelledby="login-title">
  <form>
    <h2 id="login-title"></h2>
    <p id="login-about" role="alert"></p>
    <label id="login-user">${say("User", "Benutzer")} <input id="user" autocomplete="username" autocapitalize="none" spellcheck="false"></label>
    <label><span id="login-kind"></span> <input id="secret" type="password" autocomplete="current-password" required></label>
    <p class="buttons"><button type="submit" class="play">${say("Listen", "Anhören")}</button><button type="button" class="close">${say("Cancel", "Abbrechen")}</button></p>
  </form>
</dialog>`;

export class LoginDialog {
  #dialog;
  #listening;

  /** @param {Listening} listening */
  constructor(listening) {
    document.body.insertAdjacentHTML("beforeend", MARKUP);
    this.#dialog = find(document, "#login", HTMLDialogElement);
    this.#listening = listening;
    listening.addEventListener("change", () => this.#follow());
    find(this.#dialog, "form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    find(this.#dialog, ".close", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    // Escape closes it as well. The event comes later than the closing: by then the page may have closed the dialog
    // itself, which leaves no question, or have asked again, which has opened it.
    this.#dialog.addEventListener("close", () => {
      if (!this.#dialog.open && STATES[listening.state].asks) listening.stop();
    });
  }

  #follow() {
    const { state, mount, refused } = this.#listening;
    const { asks } = STATES[state];
    if (!asks || !mount) {
      if (this.#dialog.open) this.#dialog.close();
      return;
    }
    this.#part("#login-title").textContent = title(mount);
    this.#part("#login-kind").textContent = asks === "password" ? say("Password", "Passwort") : say("Token", "Zugangsschlüssel");
    this.#part("#login-about").textContent = refused
      ? say(`This ${asks} was refused. Please try again.`, `Abgelehnt: ${ACCESS[asks]}. Bitte versuchen Sie es noch einmal.`)
      : say(`The operator of this station can give you the ${asks}.`, `Das gibt Ihnen, wer diese Station betreibt: ${ACCESS[asks]}.`);
    this.#part("#login-user").hidden = asks === "token";
    this.#input("#user").required = asks === "password";
    this.#input("#secret").value = "";
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  #submit() {
    const secret = this.#input("#secret").value;
    const { asks } = STATES[this.#listening.state];
    if (asks === "token") this.#listening.answer({ query: `token=${encodeURIComponent(secret)}` });
    if (asks === "password") this.#listening.answer({ user: this.#input("#user").value, password: secret });
  }

  /** @param {string} selector */
  #part(selector) {
    return find(this.#dialog, selector, HTMLElement);
  }

  /** @param {string} selector */
  #input(selector) {
    return find(this.#dialog, selector, HTMLInputElement);
  }
}
