// @ts-check
// Lets the page around an embedded player command it, and tells that page what happens. (docs/embedding.md)
//
// Commands are messages `{ silvacast: "play" }`, `"stop"`, `"live"`, and `{ silvacast: "volume", value: 0.5 }`. They count
// only from the window that embeds this one. What is told is no secret: it is what the player shows.

// Between two messages about level and delay, in milliseconds.
const INTERVAL = 500;

/**
 * @param {import("./listening.js").Listening} listening
 * @param {() => import("./mounts.js").Mount | null} chosen
 * @param {() => string} message What the player says at the moment.
 */
export function obeyParent(listening, chosen, message) {
  const { parent } = globalThis;
  if (parent === globalThis.window) return;
  const tell = () => {
    const mount = chosen();
    const step = listening.edge(performance.now());
    parent.postMessage({
      silvacast: "state",
      state: listening.state,
      message: message(),
      mount: mount?.name ?? null,
      behind: listening.behind(),
      // From 0 to 1; null while nothing is heard.
      peak: step === null ? null : (listening.picture?.columns.peak(Math.floor(step) - 1) ?? null),
    }, "*");
  };
  addEventListener("message", ({ source, data }) => {
    if (source !== parent || typeof data !== "object" || data === null) return;
    const { silvacast, value } = data;
    const mount = chosen();
    if (silvacast === "play" && listening.silent && mount) listening.listen(mount);
    else if (silvacast === "stop") listening.stop();
    else if (silvacast === "live") listening.toLive();
    else if (silvacast === "volume" && value >= 0 && value <= 1) listening.volume = value;
    else if (silvacast === "state") tell();
  });
  listening.addEventListener("change", tell);
  setInterval(() => {
    if (!listening.silent) tell();
  }, INTERVAL);
  tell();
}
