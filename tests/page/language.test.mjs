// The page in German: complete, and only where the browser prefers it.

import assert from "node:assert/strict";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, Visitor } from "./browser.mjs";
import { repository, Station, tone } from "./station.mjs";

const PICTURES = repository("target/page");
const SOURCES = repository("src/web");
// Names, units, words of both languages, and what is the same as a figure.
const SAME = [
  /^[^a-zA-Z]*$/, /^\/[\w./-]+$/, /\.opus/, /^[\d.,–-]+ ?(s|Hz|kHz|dB|kbit\/s)$/, /^(linear|Live|live|stereo|silvacast|Playlist \(M3U\)|M|N|P|R|L|H|F|\?)$/,
  /^Opus · \d+ kbit\/s$/, /^(Teich|geheim)( · (silvacast|live))?$/, /^−?\d+ dB$/, /^UTC/, /^http/, /^<iframe/,
];

let browser;
let station;
let sources;
before(async () => {
  browser = await launch();
  station = await Station.start(`
[[mount]]
name = "/geheim.opus"
access = "password"
listeners_file = "FOLDER/listeners"
`);
  await station.file("listeners", "ann:$2b$05$abcdefghijklmnopqrstuuzwlKv9aDL5T5bX5jHRE5HufknVrPs0C\n");
  await station.up();
  sources = [
    station.push("/teich.opus", tone(1000), { name: "Teich" }),
    station.push("/geheim.opus", tone(1000)),
  ];
});
after(async () => {
  await browser?.close();
  await Promise.all((sources ?? []).map((source) => source.stop()));
  await station?.stop();
});

/** In the page: every text that a person can see or hear. */
function texts() {
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement, nodeValue } = walker.currentNode;
    const isHidden = parentElement.closest("[hidden], noscript, dialog:not([open])");
    if (!isHidden && nodeValue.trim()) found.add(nodeValue.trim());
  }
  for (const element of document.querySelectorAll("[aria-label], [title], [aria-valuetext]")) {
    if (element.closest("[hidden], dialog:not([open])")) continue;
    for (const name of ["aria-label", "title", "aria-valuetext"]) {
      if (element.getAttribute(name)) found.add(element.getAttribute(name));
    }
  }
  found.add(document.title);
  return [...found];
}

/** All texts of the page in all of its states, with a browser of this language. */
async function walk(locale, shot) {
  const visitor = await Visitor.open(browser, station.url("?mount=/teich.opus"), { locale });
  const seen = [];
  const look = async () => seen.push(...(await visitor.page.evaluate(texts)));
  await visitor.microphone("/teich.opus").waitFor();
  await visitor.microphone("/geheim.opus").waitFor();
  await look();
  await visitor.microphone("/teich.opus").click();
  await visitor.says(/^Live/);
  await visitor.part("live").waitFor();
  await look();
  await mkdir(PICTURES, { recursive: true });
  await visitor.page.screenshot({ path: `${PICTURES}/${shot}.png` });
  await visitor.part("contrast").selectOption("manual");
  await visitor.part("hold").click();
  await look();
  await visitor.page.click("#share");
  await look();
  await visitor.page.keyboard.press("Escape");
  await visitor.page.click("#help");
  await look();
  await visitor.page.keyboard.press("Escape");
  await visitor.microphone("/geheim.opus").click();
  await visitor.page.locator("#login[open]").waitFor();
  await look();
  await visitor.page.keyboard.press("Escape");
  const lang = await visitor.page.evaluate(() => document.documentElement.lang);
  await visitor.page.goto(station.url("embed?mount=/teich.opus"));
  await visitor.page.locator("h1", { hasText: "Teich" }).waitFor();
  await look();
  await visitor.close();
  return { seen: new Set(seen), lang };
}

test("nothing stays in English in a German browser", async () => {
  const german = await walk("de-DE", "german");
  const english = await walk("en-GB", "english");
  assert.deepEqual([german.lang, english.lang], ["de", "en"]);
  assert.ok(german.seen.size > 60, `${german.seen.size} texts`);
  assert.ok(german.seen.has("Anhören") && english.seen.has("Listen"));
  const untranslated = [...german.seen].filter((text) => english.seen.has(text) && !SAME.some((same) => same.test(text)));
  assert.deepEqual(untranslated, []);
});

test("a browser of another language gets English", async () => {
  for (const [locale, lang] of [["fr-FR", "en"], ["de-CH", "de"], ["en-US", "en"]]) {
    const visitor = await Visitor.open(browser, station.url(), { locale });
    await visitor.microphone("/teich.opus").waitFor();
    assert.equal(await visitor.page.evaluate(() => document.documentElement.lang), lang, locale);
    await visitor.close();
  }
});

test("each text of the sources has its German beside it", async () => {
  const files = (await readdir(SOURCES, { recursive: true })).filter((name) => !name.startsWith("operator"));
  const missing = [];
  let count = 0;
  for (const name of files.filter((file) => file.endsWith(".js"))) {
    let text = await readFile(join(SOURCES, name), "utf8");
    text = text.replace(/^\s*(\/\/|\*|\/\*).*$/gm, "").replace(/new Error\([^;]*\);/g, "");
    // Calls of say, whose arguments may have calls in them.
    for (let at = text.indexOf("say("); at >= 0; at = text.indexOf("say(", at + 1)) {
      let [depth, end] = [1, at + 4];
      while (depth > 0 && end < text.length) depth += { "(": 1, ")": -1 }[text[end++]] ?? 0;
      text = text.slice(0, at) + text.slice(end);
      count += 1;
    }
    for (const [literal] of text.matchAll(/"[A-Z][a-z]+ [^"\n]*"|`[A-Z][a-z]+ [^`]*`/g)) {
      // The scheme of a header field, and what is a language by itself.
      if (!/^.Basic |navigator/.test(literal)) missing.push(`${name}: ${literal}`);
    }
  }
  assert.ok(count > 60, `${count} calls`);
  const own = missing.filter((text) => !text.startsWith("start.js") && !text.startsWith("player.js"));
  assert.deepEqual(own, []);
});
