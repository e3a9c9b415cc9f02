// Keys that are pressed.

// What Safari says of the Enter that ends a word, after it has said that the word is ended.
const COMPOSING = 229;

/** Whether it is Enter, and not the end of a word that an input method is composing. */
export function isEnter(event) {
  return event.key === "Enter" && !event.isComposing && event.keyCode !== COMPOSING;
}
