// What axe finds in a page.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

/**
 * How a page is opened that axe is to look at. The test injects a script, which the page's policy blocks; the other
 * tests check that policy.
 */
export const WITH_AXE = {
  bypassCSP: true,
  prepare: { path: createRequire(import.meta.url).resolve("axe-core/axe.min.js") },
};

/** Checks that axe finds nothing in the page as it is now. */
export async function accessible(visitor, where) {
  await visitor.page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished)));
  const { violations, passes } = await visitor.page.evaluate(() =>
    globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  assert.ok(passes.length > 10, "nothing was looked at");
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(found, [], where);
}
