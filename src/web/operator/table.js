// @ts-check
// Tables that are filled again and again.

import { buttons, keep } from "../view/keep.js";

/** @typedef {import("../view/keep.js").Action} Action */
/** @typedef {{ key: string, cells: (string | { number: string } | { agent: string } | Action[])[] }} Row */

/**
 * Fills a table. One without rows says so.
 *
 * @param {HTMLTableElement} table
 * @param {string[]} heads
 * @param {Row[]} rows
 * @param {string} none What is shown without rows.
 */
export function fill(table, heads, rows, none) {
  const empty = { key: "none", cells: [none] };
  const shown = rows.length > 0 ? rows : [empty];
  if (!table.tHead) {
    table.createTHead().insertRow();
    table.createTBody();
  }
  const head = table.tHead?.rows[0];
  const wanted = rows.length > 0 ? heads : [];
  if (head && head.cells.length !== wanted.length) {
    head.replaceChildren(
      ...wanted.map((text) => {
        const cell = document.createElement("th");
        cell.scope = "col";
        cell.textContent = text;
        return cell;
      }),
    );
  }
  const body = table.tBodies[0];
  if (body) keep(body, shown, ({ cells }, line) => fillRow(/** @type {HTMLTableRowElement} */ (line), cells), () => "tr");
}

/**
 * @param {HTMLTableRowElement} line
 * @param {Row["cells"]} cells
 */
function fillRow(line, cells) {
  while (line.cells.length > cells.length) line.deleteCell(-1);
  cells.forEach((content, at) => {
    const cell = line.cells[at] ?? line.insertCell();
    if (Array.isArray(content)) {
      buttons(cell, content);
      return;
    }
    const text = typeof content === "string" ? content : Object.values(content)[0];
    cell.className = typeof content === "string" ? "" : (Object.keys(content)[0] ?? "");
    if (cell.textContent !== text) cell.textContent = text ?? "";
  });
}
