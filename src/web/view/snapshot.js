// @ts-check
// The spectrogram as a file, with its axes, the microphone's name and the time.

const HEAD = 34;

/**
 * Downloads a PNG of `canvas`.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string} name The microphone's.
 * @param {number | null} wall Unix time at its right edge.
 */
export async function saveSnapshot(canvas, name, wall) {
  const style = getComputedStyle(canvas);
  const ratio = canvas.width / canvas.clientWidth;
  const picture = document.createElement("canvas");
  picture.width = canvas.width;
  picture.height = canvas.height + HEAD * ratio;
  const context = picture.getContext("2d");
  if (!context || !canvas.parentElement) return;
  context.fillStyle = getComputedStyle(canvas.parentElement).backgroundColor;
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(canvas, 0, HEAD * ratio);
  context.scale(ratio, ratio);
  context.fillStyle = style.color;
  context.font = `600 14px ${style.fontFamily}`;
  context.textBaseline = "middle";
  const time = new Date(wall ?? Date.now());
  const when = time.toLocaleString(undefined, { dateStyle: "long", timeStyle: "medium" });
  context.fillText(`${name} · ${when}`, 12, HEAD / 2 + 3);

  /** @type {Blob | null} */
  const blob = await new Promise((resolve) => {
    picture.toBlob(resolve, "image/png");
  });
  if (!blob) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  const stamp = time.toISOString().slice(0, 19).replaceAll(":", "-");
  link.download = `${name.replace(/[^\w.-]+/g, "-")}-${stamp}Z.png`;
  link.click();
  // The browser reads the file some time after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
