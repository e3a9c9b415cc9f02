// A list that changes in place: what has not changed is left alone, with the focus in it and what is unfolded.

import { find, focusedIn } from "../base/dom.js";

const shown = new WeakMap();

/** Shows `items` in `parent`. `make(item)` makes an element, anew only when what `of(item)` tells has changed. */
export function showRows(parent, items, { keyOf = (item) => item.id, of = JSON.stringify, make }) {
  const before = new Map([...parent.children].map((element) => [shown.get(element)?.key, element]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const told = of(item);
    const present = before.get(key);
    before.delete(key);
    let element = present;
    if (!present || shown.get(present).told !== told) {
      element = make(item);
      shown.set(element, { key, told });
    }
    if (present && present !== element) {
      const wasNext = present === place;
      replace(present, element);
      if (wasNext) place = element;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const element of before.values()) element.remove();
}

/** Puts the new element in the place of the old one, with its focus and what was unfolded. */
function replace(old, element) {
  const focused = focusedIn(old)?.dataset.part;
  const isOpen = old.querySelector("details")?.open ?? false;
  old.replaceWith(element);
  const details = element.querySelector("details");
  if (details) details.open = isOpen;
  if (focused) find(element, `[data-part="${focused}"]`)?.focus();
}
