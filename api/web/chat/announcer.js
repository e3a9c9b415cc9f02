// What screen readers are told, politely: that an answer is there, not each of its words.

const LONGEST = 600;
let region = null;

/** Says it once, when the reader is done with what it is saying. */
export function announce(text) {
  region ??= document.getElementById("announcer");
  // An equal text would not be read again.
  const shown = text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
  region.textContent = region.textContent === shown ? `${shown}\u00A0` : shown;
}
