// @ts-check
// What the server tells its administrator, as `openapi.json` describes it.

import { moment } from "../model/messages.js";

/**
 * @typedef {{
 *   name: string, station_name: string | null, state: "live" | "gap", state_since: string, stream_start: string,
 *   relayed_from: string | null, bitrate: number, ring_seconds: number | null, seconds_since_page: number | null,
 *   access: string, listeners: number, max_listeners: number | null, gaps: number, splices: number, skips: number,
 *   silence_inserted_seconds: number, late_dropped_seconds: number,
 * }} LiveMount
 * @typedef {{ name: string, station_name: string | null, state: "off" | "idle", state_since: string, expected: boolean }} OffMount
 * @typedef {{
 *   id: number, mount: string, address: string, agent: string, seconds: number, protocol: string,
 *   seconds_behind: number | null, skips: number | null, link_expires: string | null,
 * }} Listener
 * @typedef {{
 *   time: string, level: "error" | "warn" | "info", event: string, message: string, fields: Record<string, string>,
 *   subject: string | null, explanation: string | null,
 * }} Line
 * @typedef {{ mount: string, expires: string, last_used: string | null, listeners: number, revoked: boolean }} Link
 * @typedef {{ kind: string, address: string, is_network: boolean, seconds_left: number }} Lockout
 * @typedef {{ mount: string, address: string, agent: string | null, seconds_left: number }} Block
 * @typedef {{ limit: number | null, used: number | null }} Limit
 * @typedef {{
 *   software: { version: string }, started: string, uptime_seconds: number, mounts: number,
 *   limits: { sources: Limit, listeners: Limit, connections_per_ip: Limit },
 *   memory: { resident_bytes: number, ceiling_bytes: number },
 * }} ServerStatus
 * @typedef {{
 *   in_force: string, warnings: string[],
 *   file: { path: string | null, problems: string[], warnings: string[], needs_restart: string[], is_in_force: boolean },
 * }} Configuration
 */

/**
 * @typedef {{
 *   mounts: LiveMount[], off: OffMount[], listeners: Listener[], lines: Line[], links: Link[],
 *   blocks: { lockouts: Lockout[], listeners: Block[] }, server: ServerStatus,
 * }} StationState
 */

/**
 * What a microphone is called.
 *
 * @param {{ name: string, station_name: string | null }} mount
 */
export function nameOf(mount) {
  return mount.station_name ? `${mount.station_name} (${mount.name})` : mount.name;
}

/** @param {string} time */
export function when(time) {
  return moment(Date.parse(time));
}

/**
 * How long something takes, in words that fit into a table.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
