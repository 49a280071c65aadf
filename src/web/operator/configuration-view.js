// @ts-check
// Shows the configuration in force, and what a reload of its file would find.

import { find, setText } from "../view/dom.js";

/** @param {import("./state.js").Configuration} configuration */
export function showConfiguration({ in_force: inForce, warnings, file }) {
  setText(find(document, "#in-force", HTMLElement), inForce);
  setText(find(document, "#file", HTMLElement), stateOf(file));
  const restart = file.needs_restart.map((key) => `${key} differs, and changes only when the server is started again.`);
  const notes = [...file.problems, ...(file.warnings.length > 0 ? file.warnings : warnings), ...restart];
  const items = notes.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  find(document, "#problems", HTMLElement).replaceChildren(...items);
}

/** @param {import("./state.js").Configuration["file"]} file */
function stateOf(file) {
  if (file.path === null) return "The server was started without a configuration file.";
  if (file.problems.length > 0) return `${file.path} has errors, and a reload would change nothing:`;
  if (file.is_in_force) return `${file.path} has no errors, and is in force.`;
  return `${file.path} has no errors, and differs from what is in force: a reload puts it in force.`;
}
