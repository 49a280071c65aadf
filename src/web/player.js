// @ts-check
// <silvacast-player src="http://station:8080/mic.opus">: a microphone in any page. (docs/embedding.md)
//
// It shows the embedded player of the server that this script comes from, and needs nothing else. It is no module, so that
// a page of another site can load it without asking that server's permission.

{
  const server = new URL("..", /** @type {HTMLScriptElement} */ (document.currentScript).src);
  const OPTIONS = ["controls", "spectrogram", "theme"];

  class SilvacastPlayer extends HTMLElement {
    static observedAttributes = ["src", ...OPTIONS];

    #frame = document.createElement("iframe");
    /** @type {{ state: string, message: string, mount: string | null, behind: number | null, peak: number | null }} */
    #told = { state: "idle", message: "", mount: null, behind: null, peak: null };
    #volume = 1;

    constructor() {
      super();
      const frame = this.#frame;
      frame.allow = "autoplay; fullscreen";
      frame.title = navigator.language.startsWith("de") ? "Live-Ton" : "Live sound";
      // Styles of the element's own, which no policy of the page forbids.
      Object.assign(frame.style, { border: "0", width: "100%", height: "100%", display: "block" });
      this.attachShadow({ mode: "open" }).append(frame);
      frame.addEventListener("load", () => {
        if (this.#volume < 1) this.#tell("volume", this.#volume);
        this.#tell("state");
      });
    }

    connectedCallback() {
      if (!this.style.display) Object.assign(this.style, { display: "block", height: this.style.height || "20rem" });
      addEventListener("message", this.#heard);
      this.#load();
    }

    disconnectedCallback() {
      removeEventListener("message", this.#heard);
    }

    attributeChangedCallback() {
      if (this.isConnected) this.#load();
    }

    #load() {
      const src = this.getAttribute("src");
      if (!src) return;
      // The server may be below a path of its own.
      const path = decodeURIComponent(new URL(src, server).pathname).slice(server.pathname.length - 1);
      const parameters = new URLSearchParams({ mount: path });
      for (const name of OPTIONS) {
        const value = this.getAttribute(name);
        if (value !== null) parameters.set(name, value);
      }
      const address = new URL(`embed?${parameters}`, server).href;
      if (this.#frame.src !== address) this.#frame.src = address;
    }

    /** @type {(event: MessageEvent) => void} */
    #heard = ({ source, data }) => {
      if (source !== this.#frame.contentWindow || data?.silvacast !== "state") return;
      const { state, message, mount, behind, peak } = data;
      const isNew = state !== this.#told.state || message !== this.#told.message;
      this.#told = { state, message, mount, behind, peak };
      this.dispatchEvent(new CustomEvent("update", { detail: this.#told }));
      if (isNew) this.dispatchEvent(new CustomEvent("statechange", { detail: this.#told }));
    };

    /**
     * @param {string} command
     * @param {number} [value]
     */
    #tell(command, value) {
      this.#frame.contentWindow?.postMessage({ silvacast: command, value }, server.origin);
    }

    play() {
      this.#tell("play");
    }

    stop() {
      this.#tell("stop");
    }

    /** Goes back to live. */
    live() {
      this.#tell("live");
    }

    /** From 0 to 1. */
    get volume() {
      return this.#volume;
    }

    set volume(volume) {
      this.#volume = Math.max(0, Math.min(1, volume));
      this.#tell("volume", this.#volume);
    }

    get state() {
      return this.#told.state;
    }

    /** What the player says, for people. */
    get message() {
      return this.#told.message;
    }

    /** Seconds behind live, or null. */
    get behind() {
      return this.#told.behind;
    }

    /** The level, from 0 to 1, or null. */
    get peak() {
      return this.#told.peak;
    }
  }

  if (!customElements.get("silvacast-player")) customElements.define("silvacast-player", SilvacastPlayer);
}
