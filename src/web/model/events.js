// @ts-check
// The server's events, over one connection for all pages of this browser.
//
// A browser opens six connections to a server over HTTP/1.1, and a page that listens needs one. So the connection for
// events belongs to a worker that all pages share (`shared-worker.js`). Where there are no such workers, a page has a
// connection of its own.

/**
 * What the worker takes: that a page follows the events, or does not any more; that it wants a place for a stream, still
 * has it, or gives it up.
 *
 * @typedef {{ follow: string } | { leave: true } | { want: number } | { keep: number } | { release: number }} Request
 */

/**
 * What it gives: an event; or whether a page has the place that it wants.
 *
 * @typedef {{ type: string, data: string } | { place: number, isFree: boolean }} Message
 */

/** So often, in milliseconds, a page says that it still has its place. A worker does not learn that a page has gone. */
export const KEEP = 2_000;

/** @type {SharedWorker | null | undefined} */
let worker;

/** The worker; null if this browser has none. */
function shared() {
  if (worker !== undefined) return worker;
  try {
    worker = new SharedWorker(import.meta.url, { type: "module" });
    // It could not be loaded.
    worker.addEventListener("error", () => {
      worker = null;
    });
    worker.port.start();
  } catch {
    worker = null;
  }
  return worker;
}

/** @param {Request} request */
function ask(request) {
  shared()?.port.postMessage(request);
}

/**
 * The events at a URL: dispatches those that an EventSource would, and `error` when the connection is lost.
 *
 * @param {string} url
 * @returns {EventTarget & { close: () => void }}
 */
export function follow(url) {
  return shared() ? new SharedEvents(new URL(url, document.baseURI).href) : new EventSource(url);
}

class SharedEvents extends EventTarget {
  #end = new AbortController();

  /** @param {string} url */
  constructor(url) {
    super();
    const { signal } = this.#end;
    const relay = (/** @type {MessageEvent<Message>} */ { data: message }) => {
      if ("type" in message) this.dispatchEvent(new MessageEvent(message.type, { data: message.data }));
    };
    shared()?.port.addEventListener("message", relay, { signal });
    worker?.addEventListener("error", () => this.dispatchEvent(new Event("error")), { signal });
    addEventListener("pagehide", () => ask({ leave: true }), { signal });
    // It was kept in memory, and is shown again.
    addEventListener("pageshow", ({ persisted }) => persisted && ask({ follow: url }), { signal });
    ask({ follow: url });
  }

  close() {
    this.#end.abort();
    ask({ leave: true });
  }
}

let places = 0;

/**
 * Asks for one of the connections that pages of this browser may keep. Returns what gives it back, or null if all are
 * taken.
 *
 * @returns {Promise<(() => void) | null>}
 */
export async function takePlace() {
  const port = shared()?.port;
  if (!port) return () => {};
  places += 1;
  const want = places;
  const isFree = await new Promise((resolve) => {
    const answered = (/** @type {MessageEvent<Message>} */ { data: message }) => {
      if (!("place" in message) || message.place !== want) return;
      port.removeEventListener("message", answered);
      resolve(message.isFree);
    };
    port.addEventListener("message", answered);
    worker?.addEventListener("error", () => resolve(true), { once: true });
    ask({ want });
  });
  if (!isFree) return null;
  const keep = setInterval(() => ask({ keep: want }), KEEP);
  const release = () => {
    clearInterval(keep);
    removeEventListener("pagehide", release);
    ask({ release: want });
  };
  addEventListener("pagehide", release);
  return release;
}
