// @ts-check
// Whether the page is dark: as the system wants it, or as the address of an embedded player says.

const dark = matchMedia("(prefers-color-scheme: dark)");

export function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : dark.matches;
}

/**
 * Calls `work` when that changes.
 *
 * @param {() => void} work
 */
export function onThemeChange(work) {
  dark.addEventListener("change", work);
}
