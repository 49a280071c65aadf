// @ts-check
// Why there is no sound, and what the server's refusal of a request means.

/**
 * The state that follows, or `foreign` if the stream is not Opus.
 *
 * @typedef {"lost" | "absent" | "full" | "rate-limited" | "password" | "token" | "closed" | "removed" | "crowded" |
 *   "foreign"} Reason
 */

// A lockout after wrong passwords lasts for a minute.
const LOCKOUT = 60;

export class NoSound extends Error {
  /**
   * @param {Reason} reason
   * @param {number} wait Seconds after which the server wants to be asked again; 0 if it did not say.
   */
  constructor(reason, wait = 0) {
    super(reason);
    this.reason = reason;
    this.wait = wait;
  }
}

/**
 * What a response means that is no success.
 *
 * @param {Response} response
 * @returns {NoSound}
 */
export function refusal({ status, headers }) {
  const asked = headers.get("WWW-Authenticate") ?? "";
  const wait = Number(headers.get("Retry-After")) || 0;
  switch (status) {
    case 401: return new NoSound(/^bearer/i.test(asked) ? "token" : "password");
    // Only a client that an administrator disconnected may come back later.
    case 403: return new NoSound(wait > 0 ? "removed" : "closed");
    case 404: return new NoSound("absent");
    case 429: return new NoSound("rate-limited", wait || LOCKOUT);
    case 503: return new NoSound("full", wait);
    default: return new NoSound("lost");
  }
}
