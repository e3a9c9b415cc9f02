// A turn: what was said, and the answers to it, one at a time or side by side.

import { el, find, focusedIn, iconButton } from "../../base/dom.js";
import { isEnter } from "../../base/keys.js";
import { copyText } from "../clipboard.js";
import { ReplyView } from "./reply_view.js";

// Of what is longer, only the beginning is shown at first.
const LONG_CHARS = 2000;
const LONG_LINES = 25;

export class TurnView {
  element = el("section", { className: "turn" });

  #actions;
  #said = el("div", { className: "said-list" });
  #saidIds = "";
  #switcher = el("div", { className: "switcher", role: "group", "aria-label": "Answers" });
  #answers = el("div", { className: "answers", tabIndex: -1 });
  #views = new Map();
  #turn = null;
  #context = null;
  // What whoever uses the page chose to look at; null for what is best by itself.
  #shownId = null;
  #isSideBySide = null;

  /** `actions` are those of a ReplyView, and edit, which takes the turn's number and the new text. */
  constructor(actions) {
    this.#actions = actions;
    this.element.append(this.#said, this.#switcher, this.#answers);
  }

  /** `context` is `{isLast, ahead(reply), now}`. */
  update(turn, context) {
    const hasNew = this.#turn !== null && turn.replies.length > this.#turn.replies.length;
    this.#turn = turn;
    this.#context = context;
    this.#showSaid(turn.said);
    if (hasNew && this.#turn.replies.length > 1) this.#shownId = turn.replies.at(-1).id;
    this.#showAnswers();
  }

  #showSaid(said) {
    const ids = said.map((message) => message.id).join();
    if (ids === this.#saidIds) return;
    this.#saidIds = ids;
    this.#said.replaceChildren(...said.map((message) => this.#saidElement(message)));
  }

  #saidElement(message) {
    const text = el("div", { className: "said-text" }, message.content);
    const isOwn = message.role === "user";
    const body = el("div", { className: "said-body" }, text, isLong(message.content) ? unfoldButton(text) : null);
    const bubble = el("article", { className: `said ${message.role}`, "aria-label": isOwn ? "You" : "System" }, body);
    const buttons = el(
      "div",
      { className: "said-buttons" },
      iconButton("copy", "Copy message", (event) => copyText(message.content, event.currentTarget)),
      isOwn ? iconButton("pencil", "Edit and ask again in a copy", () => this.#edit(message, bubble)) : null,
    );
    bubble.append(buttons);
    return bubble;
  }

  #edit(message, bubble) {
    const area = el("textarea", { value: message.content, rows: 3, dir: "auto", "aria-label": "Edited message" });
    const before = [...bubble.childNodes];
    const leave = () => {
      bubble.classList.remove("is-edited");
      bubble.replaceChildren(...before);
      bubble.querySelector("button:last-child").focus();
    };
    const send = () => {
      const text = area.value.trim();
      if (!text) return;
      leave();
      this.#actions.edit(message.turn, text);
    };
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        leave();
      } else if (isEnter(event) && !event.shiftKey) {
        event.preventDefault();
        send();
      }
    });
    bubble.classList.add("is-edited");
    bubble.replaceChildren(
      area,
      el("p", { className: "hint" }, "This is asked in a copy of the conversation. The original stays as it is."),
      el(
        "div",
        { className: "edit-buttons" },
        el("button", { type: "button", className: "button small", on: { click: leave } }, "Cancel"),
        el("button", { type: "button", className: "button small primary", on: { click: send } }, "Ask in a copy"),
      ),
    );
    area.focus();
  }

  #showAnswers() {
    const { replies } = this.#turn;
    const isSideBySide = replies.length > 1 && (this.#isSideBySide ?? wereAskedTogether(replies));
    const shown = this.#shownReply();
    for (const [index, reply] of replies.entries()) {
      const view = this.#viewOf(reply);
      view.element.hidden = !isSideBySide && reply !== shown;
      view.update(reply, {
        isLast: this.#context.isLast,
        count: replies.length,
        number: index + 1,
        ahead: this.#context.ahead(reply),
        now: this.#context.now,
      });
    }
    this.#answers.classList.toggle("side-by-side", isSideBySide);
    this.#showSwitcher(replies, shown, isSideBySide);
  }

  #shownReply() {
    const { replies, chosen } = this.#turn;
    return replies.find((reply) => reply.id === this.#shownId) ?? chosen ?? replies.at(-1);
  }

  #viewOf(reply) {
    if (!this.#views.has(reply.id)) {
      const view = new ReplyView(this.#actions);
      this.#views.set(reply.id, view);
      this.#answers.append(view.element);
    }
    return this.#views.get(reply.id);
  }

  #showSwitcher(replies, shown, isSideBySide) {
    this.#switcher.hidden = replies.length < 2;
    const place = `${replies.indexOf(shown) + 1} of ${replies.length}`;
    const state = `${place} ${isSideBySide}`;
    if (this.#switcher.hidden || this.#switcher.dataset.state === state) return;
    this.#switcher.dataset.state = state;
    const focused = focusedIn(this.#switcher);
    const step = (by) => () => {
      const index = this.#turn.replies.indexOf(this.#shownReply()) + by;
      this.#shownId = this.#turn.replies.at(index % this.#turn.replies.length).id;
      this.#showAnswers();
    };
    const toggle = () => {
      this.#isSideBySide = !isSideBySide;
      this.#showAnswers();
    };
    const layout = isSideBySide ? "Show one at a time" : "Show side by side";
    this.#switcher.replaceChildren(
      ...(isSideBySide
        ? [el("span", {}, `${replies.length} answers`)]
        : [
            iconButton("left", "Previous answer", step(-1), { data: { name: "left" } }),
            el("span", { "aria-live": "polite" }, place),
            iconButton("right", "Next answer", step(1), { data: { name: "right" } }),
          ]),
      iconButton("columns", layout, toggle, { "aria-pressed": String(isSideBySide), data: { name: "columns" } }),
    );
    if (focused) find(this.#switcher, `[data-name="${focused.dataset.name}"]`)?.focus();
  }
}

/** Whether it would push everything else out of sight: a log or a page that was pasted. */
export function isLong(text) {
  return text.length > LONG_CHARS || text.split("\n").length > LONG_LINES;
}

/** Shows the beginning of the text, and makes a button for all of it. */
function unfoldButton(text) {
  const button = el("button", { type: "button", className: "quiet-button" });
  const show = (isShort) => {
    text.classList.toggle("is-short", isShort);
    button.textContent = isShort ? "Show all" : "Show less";
    button.setAttribute("aria-expanded", String(!isShort));
  };
  button.addEventListener("click", () => show(!text.classList.contains("is-short")));
  show(true);
  return button;
}

/** Whether they are the n answers to one ask, which are there to be compared. */
function wereAskedTogether(replies) {
  return replies.filter((reply) => reply.created_at === replies[0].created_at).length > 1;
}
