// Plays one microphone for a long time, and prints what the page takes meanwhile:
//
//   tests/page/in-network node tests/page/endure.mjs MINUTES
//
// A line for each tenth of the time: the heap of the page after its garbage is gone, in MiB; the number of its
// elements; and the CPU time since the line before, in percent of a core: of the page's process, of its main thread, and
// of the process that composes what is seen. The last line says by how much the heap has grown from the first half to
// the second, in percent.

import { launch, Visitor } from "./browser.mjs";
import { Station, until } from "./station.mjs";

const MINUTES = Number(process.argv[2] ?? 120);
const LINES = 10;
const MIB = 1 << 20;
const SWEEP = "aevalsrc='0.3*sin(2*PI*(2000*mod(t,4)+1000*mod(t,4)*mod(t,4)))':s=48000";

const station = await (await Station.start()).up();
station.push("/sweep.opus", SWEEP, { name: "Sweep" });
await until(async () => (await station.mounts()).length === 1, "the microphone");
const browser = await launch();
const visitor = await Visitor.open(browser, station.url());
await visitor.microphone("/sweep.opus").click();
await visitor.says(/^Live/);
const processes = await browser.newBrowserCDPSession();
const session = await visitor.context.newCDPSession(visitor.page);
await session.send("Performance.enable", { timeDomain: "threadTicks" });

/** What the page takes now. */
async function look() {
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const of = (wanted) => metrics.find(({ name }) => name === wanted)?.value ?? 0;
  const { processInfo } = await processes.send("SystemInfo.getProcessInfo");
  const took = (wanted) => processInfo.filter(({ type }) => type === wanted).reduce((sum, { cpuTime }) => sum + cpuTime, 0);
  return { page: took("renderer"), composing: took("GPU"), heap: of("JSHeapUsedSize") / MIB, nodes: of("Nodes"), busy: of("TaskDuration"), at: performance.now() / 1000 };
}

console.log("| minute | heap, MiB | elements | page, % of a core | its main thread | composing |\n|---|---|---|---|---|---|");
const heaps = [];
let before = await look();
for (let line = 1; line <= LINES; line += 1) {
  await new Promise((passed) => setTimeout(passed, (MINUTES * 60_000) / LINES));
  const now = await look();
  const share = (name) => ((100 * (now[name] - before[name])) / (now.at - before.at)).toFixed(1);
  console.log(`| ${((line * MINUTES) / LINES).toFixed(1)} | ${now.heap.toFixed(2)} | ${now.nodes} | ${share("page")} | ${share("busy")} | ${share("composing")} |`);
  heaps.push(now.heap);
  before = now;
}
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const [first, second] = [heaps.slice(0, LINES / 2), heaps.slice(LINES / 2)].map(mean);
console.log(`growth from the first half to the second: ${((100 * (second - first)) / first).toFixed(1)} %`);
await visitor.close();
await browser.close();
await station.stop();
process.exit(0);
