// @ts-check
// What the address of an embedded player asks for.

/**
 * @typedef {object} EmbedOptions
 * @property {boolean} controls Whether there are buttons. Without them, the page around it commands the player.
 * @property {boolean} spectrogram Whether there is a spectrogram.
 * @property {"dark" | "light" | null} theme Null for that of the system.
 */

/**
 * @param {string} search The parameters of the address.
 * @returns {EmbedOptions}
 */
export function embedOptions(search) {
  const parameters = new URLSearchParams(search);
  const isOn = (/** @type {string} */ name) => !["0", "no", "false", "off"].includes(parameters.get(name) ?? "");
  const theme = parameters.get("theme");
  return {
    controls: isOn("controls"),
    spectrogram: isOn("spectrogram"),
    theme: theme === "dark" || theme === "light" ? theme : null,
  };
}
