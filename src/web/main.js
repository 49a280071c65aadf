// @ts-check
// Which of the scripts runs: documents and workers load the same file, as the modules are one when they are served.

if ("SharedWorkerGlobalScope" in globalThis) import("./shared-worker.js");
else if (!("document" in globalThis)) import("./packets-worker.js");
else if (document.body.classList.contains("embed")) import("./embed.js");
else import("./page.js");
