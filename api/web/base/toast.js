// A short word about what was done, or could not be.

const SHOWN_MS = 6000;
let timer = 0;

export function toast(text) {
  const element = document.getElementById("toast");
  clearTimeout(timer);
  element.textContent = text;
  element.hidden = false;
  timer = setTimeout(() => (element.hidden = true), SHOWN_MS);
}
