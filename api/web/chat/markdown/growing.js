// An element that shows Markdown while it is being written.

import { settle } from "./blocks.js";
import { rendered } from "./render.js";

// Of the time no more than a third is spent on this: what takes long is done less often.
const REST = 2;

export class GrowingMarkdown {
  #element;
  #shown = "";
  #settled = "";
  #tail = [];
  #isFinal = false;
  #pauseUntil = 0;
  #later = 0;

  constructor(element) {
    this.#element = element;
  }

  /** Shows this text. Once it is final all of it is rendered as a whole, in which blocks may refer to each other. */
  show(text, { isFinal }) {
    if (text === this.#shown && isFinal === this.#isFinal) return;
    cancelAnimationFrame(this.#later);
    if (!isFinal && performance.now() < this.#pauseUntil) {
      this.#later = requestAnimationFrame(() => this.show(text, { isFinal }));
      return;
    }
    const began = performance.now();
    this.#shown = text;
    this.#isFinal = isFinal;
    if (isFinal) {
      this.#settled = "";
      this.#tail = [];
      replaceOthers(this.#element, rendered(text));
    } else {
      this.#grow(text);
    }
    const now = performance.now();
    this.#pauseUntil = now + REST * (now - began);
  }

  #grow(text) {
    if (!text.startsWith(this.#settled) || this.#settled === "") {
      this.#settled = "";
      this.#tail = [];
      this.#element.replaceChildren();
    }
    for (const node of this.#tail) node.remove();
    const { blocks, rest } = settle(text.slice(this.#settled.length));
    for (const block of blocks) this.#element.append(rendered(block));
    this.#settled = text.slice(0, text.length - rest.length);
    const tail = rendered(rest);
    this.#tail = [...tail.childNodes];
    this.#element.append(tail);
  }
}

/** Shows these instead, from the first that differs on: what is selected or scrolled to before it stays so. */
function replaceOthers(element, fragment) {
  const [before, after] = [element, fragment].map((parent) => [...parent.childNodes]);
  const different = after.findIndex((node, index) => !before[index]?.isEqualNode(node));
  const same = different < 0 ? after.length : different;
  before.slice(same).forEach((node) => node.remove());
  element.append(...after.slice(same));
}
