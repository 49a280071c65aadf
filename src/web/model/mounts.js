// Which microphones are on the air, kept true by the server's events.
//
// The first event of every connection is the whole truth, so whatever was missed while the
// server was away is made good by connecting again. `change` is dispatched whenever anything is different.

import { LiveClock } from "./clock.js";

// Clock events come about once a second; without any, a connection is dead although nobody said so.
const SILENCE = 8_000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 5_000;

export class Mounts extends EventTarget {
  /** Mounts by name, in the order in which they are shown. */
  all = new Map();
  /** Whether the server is heard; null before it is known. */
  online = null;

  #url;
  #clocks = new Map();
  #source;
  #wait = FIRST_WAIT;
  #watch;

  constructor(url) {
    super();
    this.#url = url;
    this.#connect();
  }

  /** Where live is on a mount. */
  clock(name) {
    let clock = this.#clocks.get(name);
    if (!clock) this.#clocks.set(name, (clock = new LiveClock()));
    return clock;
  }

  #connect() {
    const source = new EventSource(this.#url);
    this.#source = source;
    const on = (type, work) =>
      source.addEventListener(type, (event) => {
        this.#heard();
        work(JSON.parse(event.data));
      });
    on("mounts", ({ mounts }) => {
      this.all = new Map(mounts.map((mount) => [mount.name, mount]));
      this.online = true;
      this.#wait = FIRST_WAIT;
      this.#changed();
    });
    on("up", (mount) => {
      this.all.set(mount.name, mount);
      const byName = (a, b) => (a[0] < b[0] ? -1 : 1);
      this.all = new Map([...this.all].sort(byName));
      this.#changed();
    });
    on("down", ({ name }) => {
      this.all.delete(name);
      this.#clocks.delete(name);
      this.#changed();
    });
    for (const type of ["gap", "live", "listeners", "title"]) on(type, (news) => this.#update(news));
    on("clock", ({ name, granule, unix_ms }) =>
      this.clock(name).heard(granule, unix_ms, performance.now()),
    );
    source.addEventListener("error", () => this.#lost(source));
  }

  #update(news) {
    const mount = this.all.get(news.name);
    if (!mount) return;
    Object.assign(mount, news);
    this.#changed();
  }

  #heard() {
    clearTimeout(this.#watch);
    if (this.all.size > 0) this.#watch = setTimeout(() => this.#lost(this.#source), SILENCE);
  }

  // A browser gives up for good after some answers, such as a proxy's 502: it is not left to it.
  #lost(source) {
    source.close();
    if (source !== this.#source) return;
    clearTimeout(this.#watch);
    this.#source = null;
    this.online = false;
    this.#changed();
    setTimeout(() => this.#connect(), this.#wait);
    this.#wait = Math.min(LONGEST_WAIT, this.#wait * 2);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** What stands for a mount that somebody asks for while it is not on the air. */
export function absent(name) {
  return { name, state: "absent", codec: "Opus", access: "public" };
}

/** Where a mount is heard, from this page's own address. */
export function address(name, query = "") {
  return name.slice(1).split("/").map(encodeURIComponent).join("/") + query;
}

/** What people call it: what its source says, or its path without what is always the same. */
export function title(mount) {
  return mount.station_name || mount.name.slice(1).replace(/\.(opus|ogg|oga|flac)$/, "");
}
