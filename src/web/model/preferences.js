// What the page remembers from one visit to the next: the last microphone, volume, the view.
//
// Storage may be forbidden, full, or not there at all. Then the page forgets, and works.

const PREFIX = "silvacast.";
const here = new Map();

export function recall(key, otherwise) {
  if (here.has(key)) return here.get(key);
  try {
    const text = localStorage.getItem(PREFIX + key);
    const value = text === null ? otherwise : JSON.parse(text);
    // What another version wrote under this name may be of another kind.
    return typeof value === typeof otherwise ? value : otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(key, value) {
  here.set(key, value);
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // For this visit it is remembered all the same.
  }
}
