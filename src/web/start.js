// @ts-check
// Tries again when a part of the page could not be loaded.
//
// The page is made of many small files, and a server that is busy, or that limits the connections of an address, may
// refuse one of them. Without it no module runs. Those that have arrived are cached, so each attempt needs fewer
// connections. This is not a module: it has to run before the modules are loaded.

{
  const WAIT = 3_000;

  addEventListener(
    "error",
    ({ target }) => {
      if (target instanceof HTMLLinkElement) {
        const again = /** @type {HTMLLinkElement} */ (target.cloneNode());
        setTimeout(() => target.replaceWith(again), WAIT);
      } else if (target instanceof HTMLScriptElement) {
        const say = () => {
          const state = document.querySelector("[data-part=state]");
          if (state) state.textContent = navigator.language.startsWith("de")
            ? "Ein Teil dieser Seite ließ sich nicht laden. Neuer Versuch …"
            : "A part of this page could not be loaded. Trying again …";
        };
        say();
        document.addEventListener("DOMContentLoaded", say);
        setTimeout(() => location.reload(), WAIT);
      }
    },
    // Errors of elements do not bubble.
    true,
  );
}
