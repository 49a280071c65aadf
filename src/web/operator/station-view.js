// @ts-check
// Shows the station: its microphones with what is wrong, listeners, refusals, memory, links and events.

import { find, setText } from "../view/dom.js";
import { keep, keepParts } from "../view/keep.js";
import { diagnose, unheardMounts } from "./diagnosis.js";
import { duration, nameOf, when } from "./state.js";
import { fill } from "./table.js";

/**
 * @typedef {import("./state.js").StationState} StationState
 * @typedef {import("./state.js").LiveMount} LiveMount
 * @typedef {import("./state.js").OffMount} OffMount
 * @typedef {import("./state.js").Line} Line
 * @typedef {(name: string, parameters: Record<string, string>, question: string) => void} Command
 */

/** How many listeners are listed. */
const MOST_LISTENERS = 200;
const ORDER = ["error", "warning", "none", "good"];
const MIB = 1 << 20;

export class StationView {
  #command;

  /** @param {Command} command Gives a command, after a question if there is one. */
  constructor(command) {
    this.#command = command;
  }

  /**
   * @param {StationState} state
   * @param {number} now Unix time in milliseconds.
   */
  show(state, now) {
    this.#showMicrophones(state, now);
    this.#showListeners(state);
    this.#showBlocks(state);
    this.#showRefusals(state);
    this.#showMemory(state);
    this.#showLinks(state);
    this.#showEvents(state);
  }

  /**
   * @param {StationState} state
   * @param {number} now
   */
  #showMicrophones(state, now) {
    const all = [...state.mounts, ...state.off, ...unheardMounts(state)].map((mount) => ({
      key: mount.name,
      mount,
      ...diagnose(mount, state, now),
    }));
    all.sort((a, b) => ORDER.indexOf(a.tone) - ORDER.indexOf(b.tone) || a.key.localeCompare(b.key));
    const wrong = all.filter(({ tone }) => tone === "error" || tone === "warning").length;
    const count = all.length === 1 ? "1 microphone" : `${all.length} microphones`;
    setText(find(document, "#overview", HTMLElement), `${count}, ${wrong === 0 ? "all well" : `${wrong} ${wrong === 1 ? "needs" : "need"} attention`}`);
    keep(find(document, "#microphones", HTMLElement), all, (one, item) => this.#showMicrophone(one, item), () => "li");
  }

  /**
   * @param {import("./diagnosis.js").Diagnosis & { mount: LiveMount | OffMount }} diagnosis
   * @param {HTMLElement} item
   */
  #showMicrophone({ mount, tone, verdict, advice, notes }, item) {
    item.dataset.tone = tone;
    const live = "bitrate" in mount ? mount : null;
    const disconnect = () =>
      this.#command("killsource", { mount: mount.name }, `Disconnect the Recorder of ${nameOf(mount)}?`);
    keepParts(item, [
      { key: "name", tag: "h3", text: nameOf(mount) },
      { key: "since", tag: "span", text: `${mount.state} since ${when(mount.state_since)}` },
      { key: "verdict", tag: "p", text: verdict },
      { key: "advice", tag: "p", text: advice },
      ...notes.map((text, at) => ({ key: `note ${at}`, tag: "p", text })),
      { key: "figures", tag: "p", text: live ? figures(live) : "" },
      { key: "buttons", tag: "p", actions: live ? [{ label: "Disconnect the Recorder", work: disconnect }] : [] },
    ]);
  }

  /** @param {StationState} state */
  #showListeners({ listeners }) {
    const rows = listeners.slice(0, MOST_LISTENERS).map((listener) => {
      const { id, mount, address, agent, seconds, protocol, seconds_behind: behind, skips, link_expires: link } = listener;
      const parameters = { mount, id: String(id) };
      return {
        key: String(id),
        cells: [
          mount,
          address,
          { agent: link ? `${agent} (by a link until ${when(link)})` : agent },
          protocol,
          { number: duration(seconds) },
          { number: behind === null ? "" : `${behind.toFixed(1)} s` },
          { number: skips === null ? "" : String(skips) },
          [
            { label: "Disconnect", work: () => this.#command("killclient", parameters, `Disconnect ${address}?`) },
            {
              label: "Block for an hour",
              work: () =>
                this.#command("killclient", { ...parameters, block: "1h" }, `Keep ${address} away from ${mount} for an hour?`),
            },
          ],
        ],
      };
    });
    const more = listeners.length - rows.length;
    if (more > 0) rows.push({ key: "more", cells: [`and ${more} more`] });
    const heads = ["Microphone", "Address", "Player", "How", "For", "Behind", "Skips", "Commands"];
    fill(find(document, "#listeners", HTMLTableElement), heads, rows, "Nobody listens.");
  }

  /** @param {StationState} state */
  #showBlocks({ blocks }) {
    const lockouts = blocks.lockouts.map(({ kind, address, is_network: isNetwork, seconds_left: left }) => ({
      key: `${kind} ${address} ${isNetwork}`,
      cells: [
        isNetwork ? `the network of ${address}` : address,
        `locked out: too many wrong passwords (${kind})`,
        { number: `${left} s` },
        [],
      ],
    }));
    const listeners = blocks.listeners.map(({ mount, address, agent, seconds_left: left }) => ({
      key: `${mount} ${address} ${agent}`,
      cells: [
        address,
        `kept away from ${mount}${agent === null ? "" : ` with ${agent}`}`,
        { number: duration(left) },
        [{ label: "Let in again", work: () => this.#command("unblock", { mount, address }, "") }],
      ],
    }));
    const heads = ["Address", "Why", "For", "Commands"];
    fill(find(document, "#blocks", HTMLTableElement), heads, [...lockouts, ...listeners], "Nobody is locked out or blocked.");
  }

  /** @param {StationState} state */
  #showRefusals({ lines }) {
    /** @type {Map<string, { line: Line, count: number }>} */
    const kinds = new Map();
    for (const line of lines.filter(({ event }) => event === "refused")) {
      const { client, method, path, status, reason } = line.fields;
      const key = [client, method, path, status, reason].join(" ");
      const kind = kinds.get(key);
      if (kind) kind.count += 1;
      else kinds.set(key, { line, count: 1 });
    }
    const rows = [...kinds].map(([key, { line, count }]) => {
      const { client, method, path, status, reason } = line.fields;
      return {
        key,
        cells: [{ number: when(line.time) }, { number: `${count} ×` }, client ?? "", `${method ?? ""} ${path ?? ""}`, status ?? "", { agent: reason ?? "" }],
      };
    });
    const heads = ["Last", "Times", "Address", "Request", "Status", "Why"];
    fill(find(document, "#refusals", HTMLTableElement), heads, rows, "Nothing was refused lately.");
  }

  /** @param {StationState} state */
  #showMemory({ server }) {
    const { memory, limits } = server;
    const mib = (/** @type {number} */ bytes) => `${Math.round(bytes / MIB)} MiB`;
    setText(
      find(document, "#memory", HTMLElement),
      `${mib(memory.resident_bytes)} in use; never more than ${mib(memory.ceiling_bytes)} with this configuration. ` +
        `silvacast ${server.software.version}, started ${when(server.started)}.`,
    );
    const names = { sources: "Microphones", listeners: "Listeners", connections_per_ip: "Connections of one address" };
    const rows = Object.entries(names).map(([key, name]) => {
      const { limit, used } = limits[/** @type {keyof typeof limits} */ (key)];
      return { key, cells: [name, { number: String(used ?? "") }, { number: limit === null ? "no limit" : String(limit) }, `[limits] ${key}`] };
    });
    fill(find(document, "#limits", HTMLTableElement), ["What", "In use", "Limit", "Key"], rows, "");
  }

  /** @param {StationState} state */
  #showLinks({ links }) {
    const rows = links.map(({ mount, expires, last_used: used, listeners, revoked }) => {
      const revoke = () =>
        this.#command(
          "revokelink",
          { mount, expires: String(Math.floor(Date.parse(expires) / 1000)) },
          `Revoke the link to ${mount}? Its listeners are disconnected.`,
        );
      return {
        key: `${mount} ${expires}`,
        cells: [
          mount,
          { number: when(expires) },
          { number: used ? when(used) : "never" },
          { number: String(listeners) },
          revoked ? "revoked" : [{ label: "Revoke", work: revoke }],
        ],
      };
    });
    const heads = ["Microphone", "Until", "Last used", "Listeners", "Commands"];
    fill(find(document, "#links", HTMLTableElement), heads, rows, "No link is in force.");
  }

  /** @param {StationState} state */
  #showEvents({ lines }) {
    // Lines of the same time have different places.
    const items = lines.map((line, at) => ({ key: `${line.time} ${line.event} ${lines.length - at}`, line }));
    keep(
      find(document, "#events", HTMLElement),
      items,
      ({ line }, item) => {
        if (item.childElementCount === 0) showEvent(line, item);
      },
      () => "li",
    );
  }
}

/**
 * @param {Line} line
 * @param {HTMLElement} item
 */
function showEvent(line, item) {
  item.dataset.level = line.level;
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const time = document.createElement("time");
  time.dateTime = line.time;
  time.textContent = when(line.time);
  const subject = document.createElement("b");
  subject.textContent = line.subject ?? line.message;
  const fields = Object.entries(line.fields).map(([name, value]) => `${name}=${value}`);
  summary.append(time, " ", subject, ` ${fields.join(" ")}`);
  const text = document.createElement("p");
  text.textContent = line.explanation ?? "";
  details.append(summary, text);
  item.append(details);
}

/** @param {LiveMount} mount */
function figures(mount) {
  const { bitrate, ring_seconds: ring, listeners, gaps, late_dropped_seconds: late, seconds_since_page: age } = mount;
  return [
    mount.relayed_from ? `relayed from ${mount.relayed_from}` : "",
    mount.state === "live" ? `${Math.round(bitrate / 1000)} kbit/s` : "",
    age === null ? "" : `last audio ${age.toFixed(1)} s ago`,
    `${gaps} ${gaps === 1 ? "gap" : "gaps"}, filled with ${mount.silence_inserted_seconds.toFixed(1)} s of silence`,
    `${late.toFixed(1)} s dropped because they came too late`,
    ring === null || mount.state !== "live" ? "" : `${Math.round(ring)} s in memory`,
    `${listeners} ${listeners === 1 ? "listener" : "listeners"}`,
    `slow listeners skipped ${mount.skips} times`,
    mount.access,
  ]
    .filter(Boolean)
    .join(" · ");
}
