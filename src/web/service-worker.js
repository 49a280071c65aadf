// @ts-check
// Keeps the page for when the server is away: it opens then too, says so, and plays when the server is back.
//
// Only the page and its files are kept, in the version that came last. Audio and everything else goes past this.

{
  const worker = /** @type {any} */ (globalThis);
  const VERSION = /\/[0-9a-f]{8}\//;
  const PAGE = new URL("./", worker.location.href).pathname;

  worker.addEventListener("install", () => worker.skipWaiting());
  worker.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(worker.clients.claim()));
  worker.addEventListener("fetch", (/** @type {any} */ event) => {
    const { pathname } = new URL(event.request.url);
    if (event.request.method !== "GET") return;
    if (pathname === PAGE) event.respondWith(fresh(event.request));
    else if (pathname.startsWith(`${PAGE}web/`) && VERSION.test(pathname)) event.respondWith(known(event.request));
  });

  /**
   * The page from the server, or the last one if the server is away.
   *
   * @param {Request} request
   */
  async function fresh(request) {
    const cache = await caches.open("page");
    try {
      const response = await fetch(request);
      if (response.ok) await cache.put(PAGE, response.clone());
      return response;
    } catch {
      return (await cache.match(PAGE)) ?? Response.error();
    }
  }

  /**
   * A file, whose address has its version.
   *
   * @param {Request} request
   */
  async function known(request) {
    const cache = await caches.open("page");
    const kept = await cache.match(request);
    if (kept) return kept;
    const response = await fetch(request);
    if (response.ok) {
      const name = (/** @type {string} */ url) => url.replace(VERSION, "/");
      for (const other of await cache.keys()) if (name(other.url) === name(request.url)) await cache.delete(other);
      await cache.put(request, response.clone());
    }
    return response;
  }
}
