// All that was said, the newest at the bottom, which stays in sight unless somebody scrolls up to read.

import { serverNow } from "../../base/api.js";
import { el, iconButton } from "../../base/dom.js";
import { announce } from "../announcer.js";
import { isLive, turnsAhead, turnsOf } from "../conversation_state.js";
import { isLong, TurnView } from "./turn_view.js";

// Whoever comes so near the end reads along again.
const NEAR_PX = 60;

export class ThreadView {
  #scroller;
  #turns = el("div", { className: "turns" });
  #pending = el("div", { className: "turns" });
  #earlier;
  #toEnd;
  #views = new Map();
  #live = new Map();
  #actions;
  #isAtEnd = true;
  // Where the page itself left the scroller, and how large it was then.
  #top = 0;
  #size = "";

  /** `actions` are those of a TurnView, and readEarlier. */
  constructor(scroller, actions) {
    this.#scroller = scroller;
    this.#actions = actions;
    this.#earlier = el(
      "button",
      { type: "button", className: "button small earlier", hidden: true, on: { click: () => this.#readEarlier() } },
      "Show earlier messages",
    );
    this.#toEnd = iconButton("right", "Go to the newest message", () => this.goToEnd(), { hidden: true });
    this.#toEnd.classList.add("to-end");
    scroller.append(this.#earlier, this.#turns, this.#pending);
    scroller.after(this.#toEnd);
    scroller.addEventListener("scroll", () => this.#moved());
    this.#turns.addEventListener("click", () => this.#unfolded());
    // What is said grows without an update, too: when a formula is set, or what has failed is explained.
    const sizes = new ResizeObserver(() => this.#stay());
    for (const element of [scroller, this.#turns, this.#pending]) sizes.observe(element);
  }

  /** Forgets what was shown: another conversation is opened. */
  clear() {
    this.#views.clear();
    this.#live.clear();
    this.#turns.replaceChildren();
    this.#isAtEnd = true;
  }

  /** Shows the state, and after it the messages that are still on their way. */
  update(state, pending) {
    const turns = turnsOf(state);
    const now = serverNow();
    this.#earlier.hidden = state.previous === null;
    for (const [index, turn] of turns.entries()) {
      this.#viewOf(turn, index).update(turn, {
        isLast: index === turns.length - 1,
        ahead: (reply) => (isLive(reply) ? turnsAhead(state, reply) : 0),
        now,
      });
    }
    this.#pending.replaceChildren(...pending.map(pendingElement));
    this.#announceEnds(turns);
    this.#stay();
  }

  /** From here on the end stays in sight. */
  goToEnd() {
    this.#isAtEnd = true;
    this.#stay();
  }

  #viewOf(turn, index) {
    let view = this.#views.get(turn.number);
    if (!view) {
      view = new TurnView(this.#actions);
      this.#views.set(turn.number, view);
      this.#turns.insertBefore(view.element, this.#turns.children[index] ?? null);
    }
    return view;
  }

  #announceEnds(turns) {
    for (const { replies } of turns) {
      for (const reply of replies) {
        if (isLive(reply)) this.#live.set(reply.id, true);
        else if (this.#live.delete(reply.id)) announce(endOf(reply));
      }
    }
  }

  async #readEarlier() {
    const { scrollHeight, scrollTop } = this.#scroller;
    this.#isAtEnd = false;
    await this.#actions.readEarlier();
    // What was in sight stays in sight.
    requestAnimationFrame(() => {
      this.#scroller.scrollTop = scrollTop + this.#scroller.scrollHeight - scrollHeight;
    });
  }

  /**
   * Whoever moves up, and be it by a line, wants to read on there, whatever comes at the end. Nobody else leaves it: what
   * is told of an earlier move may be told after the window has become smaller.
   */
  #moved() {
    const { scrollTop } = this.#scroller;
    const isUp = scrollTop < this.#top;
    if (!this.#isAtEnd || (isUp && this.#size === this.#sizeNow())) {
      this.#isAtEnd = this.#toGo() < (isUp ? 1 : NEAR_PX);
    }
    this.#top = scrollTop;
    this.#stay();
  }

  /** Whoever makes something longer by a click wants to read it, even if the end goes out of sight by that. */
  #unfolded() {
    this.#isAtEnd &&= this.#toGo() < NEAR_PX;
  }

  /** Whoever sees the end goes on to see it. */
  #stay() {
    this.#isAtEnd ||= this.#toGo() < 1;
    if (this.#isAtEnd) {
      this.#scroller.scrollTop = this.#scroller.scrollHeight;
      this.#top = this.#scroller.scrollTop;
    }
    this.#size = this.#sizeNow();
    this.#toEnd.hidden = this.#isAtEnd || this.#toGo() < NEAR_PX;
  }

  #sizeNow() {
    return `${this.#scroller.clientWidth} ${this.#scroller.clientHeight}`;
  }

  /** How many pixels there are below what is in sight. */
  #toGo() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight;
  }
}

function endOf(reply) {
  if (reply.status === "failed") return `The answer failed: ${reply.error?.message ?? ""}`;
  if (reply.status === "cancelled") return "The answer was stopped.";
  return `Answer: ${reply.content}`;
}

function pendingElement({ text, trouble }) {
  return el(
    "section",
    { className: "turn" },
    el(
      "article",
      { className: "said user is-pending", "aria-label": "You" },
      el("div", { className: "said-body" }, el("div", { className: isLong(text) ? "said-text is-short" : "said-text" }, text)),
    ),
    el("p", { className: "reply-state" }, trouble ? `${trouble} Trying again…` : "Sending…"),
  );
}
