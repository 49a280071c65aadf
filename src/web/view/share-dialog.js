// @ts-check
// Sharing a microphone: permanent addresses, a QR code, a playlist.

import { say } from "../model/language.js";
import { ACCESS, moment } from "../model/messages.js";
import { address, title } from "../model/mounts.js";
import { find } from "./dom.js";
import { encode, path } from "./qr.js";

/** @typedef {import("../model/mounts.js").Mount} Mount */

/**
 * The address of the listening page with this microphone chosen.
 *
 * @param {Mount} mount
 */
export function pageAddress(mount) {
  return new URL(`./?${choice(mount)}`, location.href).href;
}

const choice = (/** @type {Mount} */ mount) => `mount=${encodeURIComponent(mount.name).replaceAll("%2F", "/")}`;

export class ShareDialog {
  #dialog;
  /** @type {Mount | null} */
  #mount = null;

  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.#dialog = dialog;
    find(dialog, ".close", HTMLButtonElement).addEventListener("click", () => dialog.close());
    const preview = this.#preview;
    preview.addEventListener("toggle", () => this.#showPreview());
    dialog.addEventListener("close", () => {
      preview.open = false;
    });
    for (const button of dialog.querySelectorAll("[data-for]")) {
      const time = button.getAttribute("data-for") ?? "";
      button.addEventListener("click", () => {
        this.#sign(time).catch(() => this.#text("copied", say("The server does not respond.", "Der Server antwortet nicht.")));
      });
    }
    for (const name of ["page", "stream", "embed"]) {
      const button = find(dialog, `[data-copy=link-${name}]`, HTMLButtonElement);
      button.addEventListener("click", () => this.#copy(this.#link(name)));
    }
  }

  get #preview() {
    return find(this.#dialog, "#preview", HTMLDetailsElement);
  }

  // The player as other sites have it, by the element for them.
  #showPreview() {
    this.#preview.querySelector("silvacast-player")?.remove();
    if (!this.#preview.open) return;
    if (!customElements.get("silvacast-player")) {
      const script = document.createElement("script");
      script.src = "web/player.js";
      document.head.append(script);
    }
    const player = document.createElement("silvacast-player");
    player.setAttribute("src", this.#link("stream").value);
    this.#preview.append(player);
  }

  /** @param {Mount} mount */
  open(mount) {
    this.#mount = mount;
    this.#text("sharing-title", say(`Share ${title(mount)}`, `${title(mount)} teilen`));
    this.#show("", about(mount));
    find(this.#dialog, ".temporary", HTMLElement).hidden = mount.access === "public" || mount.access === "closed";
    this.#dialog.showModal();
  }

  /**
   * Shows the addresses with these parameters.
   *
   * @param {string} query
   * @param {string} text About them.
   */
  #show(query, text) {
    const mount = this.#mount;
    if (!mount) return;
    const more = query && `&${query}`;
    const page = pageAddress(mount) + more;
    const embed = new URL(`embed?${choice(mount)}${more}`, location.href).href;
    this.#text("sharing-about", text);
    this.#link("page").value = page;
    this.#link("stream").value = new URL(address(mount.name, query && `?${query}`), location.href).href;
    const name = title(mount).replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
    this.#link("embed").value =
      `<iframe src="${embed}" width="480" height="320" title="${name}" allow="autoplay"></iframe>`;
    find(this.#dialog, "#playlist", HTMLAnchorElement).href = address(mount.name, `.m3u${query && `?${query}`}`);
    this.#text("copied", "");
    this.#draw(page);
  }

  /**
   * Asks the server for links that expire.
   *
   * @param {string} time How long they are valid.
   */
  async #sign(time) {
    const mount = this.#mount;
    if (!mount) return;
    // The browser asks for the password, and forgets it when it is closed.
    const response = await fetch(`api/v1/mounts/${address(mount.name)}/link?for=${time}`, { cache: "no-store" });
    const answer = await response.json();
    if (!response.ok) {
      this.#text("copied", answer.error);
      return;
    }
    const { searchParams } = new URL(answer.stream);
    const end = moment(Date.parse(answer.expires), true);
    const text = say(`These addresses work until ${end}.`, `Diese Adressen gelten bis ${end}.`);
    this.#show(searchParams.toString(), text);
  }

  /** @param {string} text */
  #draw(text) {
    const image = find(this.#dialog, "#code", SVGSVGElement);
    const code = encode(text);
    image.toggleAttribute("hidden", !code);
    if (!code) return;
    const { side, d } = path(code);
    image.setAttribute("viewBox", `0 0 ${side} ${side}`);
    find(image, "path", SVGPathElement).setAttribute("d", d);
  }

  /** @param {HTMLInputElement} field */
  async #copy(field) {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      // The clipboard API is missing on plain http; the deprecated command works there.
      if (!document.execCommand("copy")) {
        this.#text("copied", say("The address is selected. Copy it with the keyboard.", "Die Adresse ist markiert. Kopieren Sie sie mit der Tastatur."));
        return;
      }
    }
    this.#text("copied", say("Copied.", "Kopiert."));
  }

  /** @param {string} name */
  #link(name) {
    return find(this.#dialog, `#link-${name}`, HTMLInputElement);
  }

  /**
   * @param {string} id
   * @param {string} text
   */
  #text(id, text) {
    find(this.#dialog, `#${id}`, HTMLElement).textContent = text;
  }
}

/** @param {Mount} mount */
function about(mount) {
  switch (mount.access) {
    case "public":
      return say(
        "These addresses are permanent. They work whenever the microphone is on the air.",
        "Diese Adressen bleiben. Sie gelten, wann immer das Mikrofon auf Sendung ist.",
      );
    case "closed":
      return say("This microphone is closed to listeners.", "Dieses Mikrofon ist für Hörer geschlossen.");
    default:
      return say(
        `Listeners are asked for the ${ACCESS[mount.access]}, which is not part of these addresses.`,
        `Hörer werden danach gefragt: ${ACCESS[mount.access]}. Diese Adressen enthalten es nicht.`,
      );
  }
}
