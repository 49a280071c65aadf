// The operator's page: what it says of a station with faults, and what it can do.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { accessible, WITH_AXE } from "./accessible.mjs";
import { launch, Visitor } from "./browser.mjs";
import { ADMIN_PASSWORD, repository, Station, tone, until } from "./station.mjs";

const PICTURES = repository("target/page");
const CONFIG = `share_key = "of the station of the station of the station"
[[mount]]
name = "/mic-1.opus"
title = "Meadow"
expected = true
[[mount]]
name = "/mic-6.opus"
access = "closed"
[[mount]]
name = "/mic-7.opus"
access = "token"
tokens_file = "FOLDER/tokens"
[mount-defaults]
hold = "10m"
gap_after = "1s"
`;

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

async function station(config) {
  const started = await Station.start(config);
  await started.file("tokens", "anna:0123456789abcdef\n");
  return started.up();
}

async function logIn(visitor, password = ADMIN_PASSWORD) {
  await visitor.page.fill("[name=password]", password);
  await visitor.page.click("#login button");
}

const item = (visitor, mount) => visitor.page.locator(`#microphones [data-key="${mount}"]`);
const row = (visitor, table, text) => visitor.page.locator(`#${table} tbody tr`, { hasText: text });

test("why a microphone is not heard is said in one look", async () => {
  const faulty = await station(CONFIG);
  // The second one has another password, the third one sends MP3, the fourth one hangs, two encoders fight for the
  // fifth one, and nobody has switched on the first one.
  assert.notEqual(await faulty.pushRefused("/mic-2.opus", { password: "wrong" }), 0);
  assert.notEqual(
    await faulty.pushRefused("/mic-3.opus", { format: ["libmp3lame", "-content_type", "audio/mpeg", "-f", "mp3"] }),
    0,
  );
  const hanging = faulty.push("/mic-4.opus", tone(1000));
  await until(async () => (await faulty.mounts()).some(({ name }) => name === "/mic-4.opus"), "the fourth one");
  hanging.hang();
  await faulty.pushForEver("/mic-5.opus");
  await faulty.pushForEver("/mic-5.opus");
  faulty.push("/mic-6.opus", tone(1000));
  faulty.push("/mic-8.opus", tone(1000));

  const visitor = await Visitor.open(browser, faulty.url("admin/"), WITH_AXE);
  await accessible(visitor, "login");
  await logIn(visitor);
  for (const [mount, tone_, verdict, advice] of [
    ["/mic-1.opus", "error", /No Recorder has connected since the server was started/, /Recorder is on/],
    ["/mic-2.opus", "error", /was refused \(401\).*its password is wrong or missing/, /the user is source/],
    ["/mic-3.opus", "error", /the source sent MP3; send Ogg/, /-f ogg/],
    ["/mic-4.opus", "error", /sends nothing|has sent nothing|stopped sending/, /Check the Recorder/],
    ["/mic-5.opus", "warning", /Several encoders compete/, /another name.*silvacast\/[\d.]+ at 127\.0\.0\.1/],
    ["/mic-6.opus", "warning", /nobody may listen/, /access = "public"/],
    ["/mic-8.opus", "good", /^On the air since/, null],
  ]) {
    const one = item(visitor, mount);
    const said = async () => (await one.count()) && (await one.locator(".verdict").textContent());
    await until(async () => verdict.test((await said()) || ""), `what is wrong with ${mount}`).catch(async (error) => {
      error.message += `; the page says: ${await visitor.page.locator("#microphones").textContent()}`;
      throw error;
    });
    assert.equal(await one.getAttribute("data-tone"), tone_, mount);
    if (advice) assert.match(await one.locator(".advice").textContent(), advice, mount);
  }
  // What needs attention comes first.
  const tones = await visitor.page.locator("#microphones li").evaluateAll((all) => all.map((one) => one.dataset.tone));
  assert.deepEqual(tones, [...tones].sort((a, b) => "error warning none good".indexOf(a) - "error warning none good".indexOf(b)));
  await visitor.page.locator("#overview", { hasText: "8 microphones, 7 need attention" }).waitFor();
  // The last refusals, and the catalog's text.
  await row(visitor, "refusals", "PUT /mic-2.opus").first().waitFor();
  const event = visitor.page.locator("#events li", { hasText: "path=/mic-2.opus" }).first();
  await event.locator("summary").click();
  await event.locator("p", { hasText: "its password differs from the server's" }).waitFor();
  await accessible(visitor, "the station");
  await mkdir(PICTURES, { recursive: true });
  await visitor.page.screenshot({ path: `${PICTURES}/operator-faults.png`, fullPage: true });
  await visitor.page.setViewportSize({ width: 390, height: 844 });
  assert.ok(await visitor.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it is too wide");
  await visitor.page.screenshot({ path: `${PICTURES}/operator-phone.png`, fullPage: true });
  await visitor.close();
  await faulty.stop();
});

test("listeners are disconnected, blocked and let in again", async () => {
  const ours = await station(CONFIG);
  ours.push("/mic-7.opus", tone(1000), { name: "Pond" });
  ours.push("/mic-8.opus", tone(1000));
  await until(async () => (await ours.mounts()).length === 2, "two microphones");
  const visitor = await Visitor.open(browser, ours.url("admin/"), WITH_AXE);
  await logIn(visitor);
  const listen = (agent, path = "mic-8.opus") =>
    fetch(`http://127.0.0.1:${ours.port}/${path}`, { headers: { "User-Agent": agent } });
  const heard = await listen("An ear");
  assert.equal(heard.status, 200);
  const listener = row(visitor, "listeners", "An ear");
  await listener.getByText("stream", { exact: true }).waitFor();
  await listener.getByRole("button", { name: "Block for an hour" }).click();
  await accessible(visitor, "a question");
  await visitor.page.click("#confirm [value=no]");
  await listener.getByRole("button", { name: "Block for an hour" }).click();
  await visitor.page.click("#confirm [value=yes]");
  await visitor.page.locator("#said", { hasText: "removed" }).waitFor();
  await heard.arrayBuffer().catch(() => {});
  await listener.waitFor({ state: "detached" });
  assert.equal((await listen("Another ear")).status, 403);
  // Who asked in vain is told beside the microphone.
  await item(visitor, "/mic-8.opus").getByText("was refused").waitFor();
  await row(visitor, "blocks", "kept away from /mic-8.opus").first().getByRole("button", { name: "Let in again" }).click();
  await visitor.page.locator("#blocks", { hasText: "Nobody is locked out" }).waitFor();
  const again = await listen("Another ear");
  assert.equal(again.status, 200);
  await again.body.cancel();

  // A link.
  const authorization = `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString("base64")}`;
  const link = `http://127.0.0.1:${ours.port}/api/v1/mounts/mic-7.opus/link?for=2h`;
  const { stream } = await (await fetch(link, { headers: { Authorization: authorization } })).json();
  const byLink = new URL(stream).pathname.slice(1) + new URL(stream).search;
  const invited = await listen("A guest", byLink);
  assert.equal(invited.status, 200);
  await row(visitor, "listeners", "A guest (by a link").waitFor();
  await row(visitor, "links", "/mic-7.opus").getByRole("button", { name: "Revoke" }).click();
  await visitor.page.click("#confirm [value=yes]");
  await row(visitor, "links", "revoked").waitFor();
  await invited.arrayBuffer().catch(() => {});
  assert.equal((await listen("A guest", byLink)).status, 403);
  await visitor.close();
  await ours.stop();
});

test("the configuration is shown, checked and reloaded", async () => {
  const ours = await station(CONFIG);
  const visitor = await Visitor.open(browser, ours.url("admin/"));
  await logIn(visitor);
  await visitor.page.locator("#file", { hasText: "has no errors, and is in force" }).waitFor();
  await visitor.page.click("#configuration-title ~ details summary");
  const shown = await visitor.page.locator("#in-force").textContent();
  assert.match(shown, /hold = "10m"/);
  assert.match(shown, /share_key = "\*\*\*"/);
  assert.ok(!shown.includes(ADMIN_PASSWORD));
  await ours.configure(CONFIG.replace('hold = "10m"', 'hold = "ten"'));
  await visitor.page.click("#reload");
  await visitor.page.locator("#said", { hasText: "Config not reloaded" }).waitFor();
  await visitor.page.locator("#problems li", { hasText: "hold" }).waitFor();
  await ours.configure(CONFIG.replace('hold = "10m"', 'hold = "20m"'));
  await visitor.page.click("#reload");
  await visitor.page.locator("#in-force", { hasText: 'hold = "20m"' }).waitFor();
  assert.equal(await visitor.page.locator("#problems li").count(), 0);
  await visitor.close();
  await ours.stop();
});

test("a wrong password, a server that is away, and nothing that stays behind", async () => {
  const ours = await station(CONFIG);
  const visitor = await Visitor.open(browser, ours.url("admin/"));
  await visitor.page.locator("#unencrypted").waitFor();
  await logIn(visitor, "wrong");
  await visitor.page.locator("#login-said", { hasText: "Wrong user or password" }).waitFor();
  await logIn(visitor);
  await visitor.page.locator("#memory", { hasText: "MiB in use" }).waitFor();
  const { port } = ours;
  await ours.down();
  await visitor.page.locator("#said", { hasText: "does not respond" }).waitFor();
  await ours.up(port);
  await visitor.page.locator("#said:empty").waitFor({ state: "attached" });
  const kept = () => visitor.page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length].join());
  assert.equal(await kept(), ",0,0");
  await visitor.page.click("#leave");
  await visitor.page.locator("#login h1").waitFor();
  await visitor.close();
  await ours.stop();
});
