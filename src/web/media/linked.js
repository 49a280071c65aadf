// @ts-check

/**
 * What can be aborted, and is when `signal` is. (`AbortSignal.any` is missing in browsers that are still used.)
 *
 * @param {AbortSignal} signal
 * @returns {AbortController}
 */
export function linked(signal) {
  const controller = new AbortController();
  signal.addEventListener("abort", () => controller.abort(), { signal: controller.signal });
  if (signal.aborted) controller.abort();
  return controller;
}
