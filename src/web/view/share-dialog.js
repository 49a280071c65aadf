// Sharing a microphone: addresses that stay, a QR code for the phone beside you, a playlist.

import { ACCESS } from "../model/messages.js";
import { address, title } from "../model/mounts.js";
import { encode, path } from "./qr.js";

/** The address of the listening page, with this microphone chosen. */
export function pageAddress(mount) {
  return new URL(`./?${choice(mount)}`, location.href).href;
}

const choice = (mount) => `mount=${encodeURIComponent(mount.name).replaceAll("%2F", "/")}`;

export class ShareDialog {
  #dialog;

  constructor(dialog) {
    this.#dialog = dialog;
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    for (const button of dialog.querySelectorAll("[data-copy]")) {
      button.addEventListener("click", () => this.#copy(this.#part(button.dataset.copy)));
    }
  }

  open(mount) {
    const page = pageAddress(mount);
    const stream = new URL(address(mount.name), location.href).href;
    const embed = new URL(`embed?${choice(mount)}`, location.href).href;
    this.#part("sharing-title").textContent = `Share ${title(mount)}`;
    this.#part("sharing-about").textContent = ACCESS[mount.access]
      ? `Whoever opens one is asked for the ${ACCESS[mount.access]}, which is not part of these addresses.`
      : "These addresses stay the same; who opens one hears the microphone whenever it is on the air.";
    this.#part("link-page").value = page;
    this.#part("link-stream").value = stream;
    const name = title(mount).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
    this.#part("link-embed").value =
      `<iframe src="${embed}" width="480" height="320" title="${name}" allow="autoplay"></iframe>`;
    this.#part("playlist").href = address(mount.name, ".m3u");
    this.#part("copied").textContent = "";
    this.#draw(page);
    this.#dialog.showModal();
  }

  #draw(text) {
    const image = this.#part("code");
    const code = encode(text);
    image.toggleAttribute("hidden", !code);
    if (!code) return;
    const { side, d } = path(code);
    image.setAttribute("viewBox", `0 0 ${side} ${side}`);
    image.firstElementChild.setAttribute("d", d);
  }

  async #copy(field) {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      // On plain http there is no clipboard to write to, but there still is the old way.
      if (!document.execCommand("copy")) {
        this.#part("copied").textContent = "It is selected: copy it with your keyboard.";
        return;
      }
    }
    this.#part("copied").textContent = "Copied.";
  }

  #part(id) {
    return this.#dialog.querySelector(`#${id}`);
  }
}
