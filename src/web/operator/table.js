// @ts-check
// Lists and tables that are filled again and again: what has not changed stays as it is, so that a button that is
// about to be pressed, or a text that is selected, does not vanish.

/** @typedef {{ label: string, work: () => void }} Action */
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
 * Fills an element with one child for each item. The children of items that stay are kept, and moved if necessary.
 *
 * @template {{ key: string }} Item
 * @param {HTMLElement} parent
 * @param {Item[]} items
 * @param {(item: Item, child: HTMLElement) => void} show
 * @param {(item: Item) => string} tag
 */
export function keep(parent, items, show, tag) {
  /** @type {Map<string, HTMLElement>} */
  const known = new Map();
  for (const child of parent.children) {
    if (child instanceof HTMLElement) known.set(child.dataset.key ?? "", child);
  }
  items.forEach((item, at) => {
    let child = known.get(item.key);
    known.delete(item.key);
    if (!child) {
      child = document.createElement(tag(item));
      child.dataset.key = item.key;
    }
    show(item, child);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  for (const child of known.values()) child.remove();
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

/**
 * Fills an element with buttons.
 *
 * @param {HTMLElement} parent
 * @param {Action[]} actions
 */
export function buttons(parent, actions) {
  keep(
    parent,
    actions.map((action) => ({ key: action.label, ...action })),
    ({ label, work }, child) => {
      child.textContent = label;
      child.setAttribute("type", "button");
      child.onclick = work;
    },
    () => "button",
  );
}
