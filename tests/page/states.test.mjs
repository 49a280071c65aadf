// Every order of events leaves the page with a button that can be pressed, or with a message that says why it cannot.
//
// The model of the page needs no browser: the events of the server come from an EventSource of the test, and the state
// of listening is entered by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Choice } from "../../src/web/model/choice.js";
import { Mounts } from "../../src/web/model/mounts.js";
import { describe } from "../../src/web/model/panel.js";
import { STATES } from "../../src/web/model/states.js";

let source;
globalThis.EventSource = class extends EventTarget {
  constructor() {
    super();
    source = this;
  }

  close() {}
};

const HOW = { kind: "stream", showsPackets: false, isChosen: false, obstacle: null };
const MOUNT = { name: "/a.opus", state: "live", codec: "Opus", access: "token", listeners: 0 };

/** The page without its document: the same objects, wired as in page.js. */
class Page {
  onAir = false;
  listening = { state: "idle", mount: null, how: HOW };

  constructor(named = null, suggested = "") {
    this.mounts = new Mounts("events");
    this.choice = new Choice(named, suggested);
    this.mounts.addEventListener("change", () => {
      this.choice.follow(this.mounts.all, this.listening.state !== "idle");
    });
  }

  get panel() {
    return describe(this.listening, this.choice.mount, this.mounts);
  }

  tell(type, data) {
    source.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data) }));
  }

  /** Presses the play button, or the microphone in the list. */
  listen(mount) {
    this.choice.pick(mount);
    this.listening = { state: "connecting", mount, how: HOW };
  }

  enter(state) {
    if (this.listening.mount) this.listening = { ...this.listening, state };
  }
}

const EVENTS = {
  list: (page) => page.tell("mounts", { mounts: page.onAir ? [{ ...MOUNT }] : [], off: [] }),
  up: (page) => {
    page.onAir = true;
    page.tell("up", { ...MOUNT });
  },
  down: (page) => {
    page.onAir = false;
    page.tell("down", { name: MOUNT.name });
  },
  gap: (page) => page.tell("gap", { name: MOUNT.name, state: "gap", state_since: "2026-01-01T00:00:00Z" }),
  "click in the list": (page) => {
    const mount = page.mounts.all.get(MOUNT.name);
    if (mount) page.listen(mount);
  },
  "click on the button": (page) => {
    const { panel, choice } = page;
    if (panel.enabled && panel.action === "stop") page.enter("idle");
    else if (panel.enabled && choice.mount) page.listen(choice.mount);
  },
  "a login dialog": (page) => {
    if (page.panel.action === "stop") page.enter("token");
  },
  escape: (page) => {
    if (STATES[page.listening.state].asks) page.enter("idle");
  },
  "the server refuses": (page) => {
    if (page.panel.action === "stop") page.enter("closed");
  },
};

/** All sequences of names of this length. */
function* sequences(names, length) {
  if (length === 0) yield [];
  else for (const rest of sequences(names, length - 1)) for (const name of names) yield [...rest, name];
}

function judge(page, what) {
  const { panel, mounts } = page;
  assert.ok(panel.enabled || panel.message, `${what}: neither a message nor a button`);
  if (panel.action === "stop") assert.ok(panel.enabled, `${what}: it cannot be stopped`);
  if (mounts.all.size > 0) assert.ok(panel.enabled, `${what}: there is a microphone, and no way to hear it`);
}

test("no order of events leaves a dead button without a message", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let count = 0;
  for (const [named, suggested] of [[null, ""], [null, "/other.opus"], ["/named.opus", ""]]) {
    for (const sequence of sequences(Object.keys(EVENTS), 5)) {
      const page = new Page(named, suggested);
      judge(page, "at the beginning");
      sequence.forEach((event, i) => {
        EVENTS[event](page);
        judge(page, sequence.slice(0, i + 1).join(", "));
      });
      count += 1;
    }
  }
  assert.equal(count, 3 * Object.keys(EVENTS).length ** 5);
});

test("a microphone that was played can be played again when it is back", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const page = new Page();
  for (const event of ["list", "up", "click in the list", "a login dialog", "escape", "down"]) EVENTS[event](page);
  assert.deepEqual([page.panel.enabled, page.panel.message], [false, "No microphone is on the air. New ones appear here automatically."]);
  EVENTS.up(page);
  assert.ok(page.panel.enabled);
});

test("in every state there is a message, and the button can be pressed", () => {
  for (const state of Object.keys(STATES)) {
    for (const shown of ["live", "gap", "absent"]) {
      const mount = { ...MOUNT, state: shown, state_since: "2026-01-01T00:00:00Z" };
      const mounts = { all: new Map(shown === "absent" ? [] : [[mount.name, mount]]), online: true };
      const panel = describe({ state, mount, how: HOW }, mount, mounts);
      assert.ok(panel.enabled, `${state}, ${shown}`);
      assert.ok(panel.message || (state === "idle" && shown === "live"), `${state}, ${shown}`);
      assert.equal(panel.action, ["idle", "closed", "removed", "blocked", "broken"].includes(state) ? "listen" : "stop");
    }
    const panel = describe({ state, mount: null, how: HOW }, null, { all: new Map(), online: true });
    assert.ok(!panel.enabled && panel.message, `${state}, without a microphone`);
  }
});

test("a connection on which nothing comes is given up, and the page says so", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const page = new Page();
  assert.equal(page.panel.message, "Looking for microphones …");
  const first = source;
  context.mock.timers.tick(8_000);
  assert.equal(page.panel.message, "The server does not respond. Trying again …");
  context.mock.timers.tick(500);
  assert.notEqual(source, first, "it connects again");
  for (const onAir of [true, false]) {
    page.onAir = onAir;
    EVENTS.list(page);
    for (let i = 0; i < 10; i += 1) {
      context.mock.timers.tick(2_000);
      page.tell("time", { unix_ms: 1_700_000_000_000 });
    }
    assert.ok(page.mounts.online && page.panel.enabled === onAir);
    // The server's time is missing now.
    context.mock.timers.tick(8_000);
    assert.equal(page.mounts.online, false);
    context.mock.timers.tick(500);
  }
});
