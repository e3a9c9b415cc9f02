// Where one types: the message, how many answers, which model.

import { el } from "../../base/dom.js";
import { isEnter } from "../../base/keys.js";
import { draftOf, keepDraft } from "../drafts.js";

const MOST_ANSWERS = 8;
// A keyboard on the screen has no Shift+Enter: there Enter is a new line, and the button sends.
const ON_SCREEN = matchMedia("(hover: none) and (pointer: coarse)");

export class ComposerView {
  #form;
  #message;
  #send;
  #stop;
  #problem;
  #answers;
  #model;
  #id = null;
  #onModel;

  /** `onSend({content, n})`, `onStop()` and `onModel(name or null)` hear what whoever uses the page wants. */
  constructor(form, { onSend, onStop, onModel }) {
    this.#form = form;
    this.#onModel = onModel;
    const named = (name) => form.querySelector(`[data-part="${name}"]`);
    this.#message = named("message");
    this.#send = named("send");
    this.#stop = named("stop");
    this.#problem = named("problem");
    this.#answers = named("answers");
    this.#model = named("model");
    for (let n = 1; n <= MOST_ANSWERS; n += 1) {
      this.#answers.append(el("option", { value: String(n) }, n === 1 ? "1 answer" : `${n} answers`));
    }
    this.#message.addEventListener("input", () => this.#typed());
    this.#message.addEventListener("keydown", (event) => {
      if (!isEnter(event) || event.shiftKey) return;
      if (ON_SCREEN.matches && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      form.requestSubmit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const content = this.#message.value.trim();
      if (content) onSend({ content, n: Number(this.#answers.value) });
    });
    this.#stop.addEventListener("click", onStop);
    this.#model.addEventListener("change", () => this.#onModel(this.#model.value || null));
  }

  /** Another conversation: its draft is there again. */
  open(id) {
    this.#id = id;
    this.#message.value = draftOf(id);
    this.showProblem(null);
    this.#typed();
  }

  focus() {
    this.#message.focus();
  }

  get text() {
    return this.#message.value;
  }

  /** Puts a text there that is not sent yet. */
  put(text) {
    this.#message.value = text;
    this.#typed();
    this.focus();
  }

  clear() {
    this.#message.value = "";
    this.showProblem(null);
    this.#typed();
  }

  /** Whether something is being answered that can be stopped. */
  showLive(isLive) {
    if (this.#stop.hidden !== isLive) return;
    if (!isLive && document.activeElement === this.#stop) this.focus();
    this.#stop.hidden = !isLive;
  }

  /** Why the last message was not sent; null when there is nothing to say. */
  showProblem(words) {
    this.#problem.hidden = words === null;
    this.#problem.textContent = words ?? "";
  }

  /** Which models can be chosen, and which is. Without a choice there is nothing to show. */
  showModels(names, chosen) {
    this.#model.hidden = names.length < 2;
    if (this.#model.hidden) return;
    const all = chosen && !names.includes(chosen) ? [...names, chosen] : names;
    if (this.#model.dataset.names !== all.join()) {
      this.#model.dataset.names = all.join();
      this.#model.replaceChildren(...all.map((name) => el("option", { value: name }, name)));
    }
    this.#model.value = chosen ?? names[0];
  }

  #typed() {
    keepDraft(this.#id, this.#message.value);
    this.#send.disabled = this.#message.value.trim() === "";
    // Where the browser does not let the box grow with its text by itself.
    if (!CSS.supports("field-sizing", "content")) {
      this.#message.style.height = "auto";
      this.#message.style.height = `${this.#message.scrollHeight}px`;
    }
  }
}
