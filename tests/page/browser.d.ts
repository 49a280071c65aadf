// What the page uses where a browser has it, and TypeScript's own description of browsers lacks.

declare var ManagedMediaSource: typeof MediaSource | undefined;

interface Navigator {
  /** Safari's Audio Session API. */
  readonly audioSession?: { type: string };
}
