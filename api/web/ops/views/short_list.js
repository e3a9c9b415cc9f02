// A list of which the first few are shown, until somebody wants the others.

const FEW = 8;

export class ShortList {
  #element;
  #empty;
  #more;
  #isWhole = false;
  #last = null;
  #showRows;

  /** `showRows(element, items, given)` shows the items; `empty` is shown where there are none. */
  constructor({ element, empty, more }, showRows) {
    this.#element = element;
    this.#empty = empty;
    this.#more = more;
    this.#showRows = showRows;
    more.addEventListener("click", () => {
      this.#isWhole = true;
      element.tabIndex = -1;
      element.focus();
      this.update(...this.#last);
    });
  }

  update(items, given) {
    this.#last = [items, given];
    this.#showRows(this.#element, this.#isWhole ? items : items.slice(0, FEW), given);
    this.#empty.hidden = items.length > 0;
    this.#more.hidden = this.#isWhole || items.length <= FEW;
    this.#more.textContent = `Show ${items.length - FEW} more`;
  }
}
