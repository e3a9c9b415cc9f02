// One answer: its text, what it waits for, why it failed, and what can be done with it.

import { askForText } from "../../base/dialogs.js";
import { el, find, focusedIn, icon, iconButton } from "../../base/dom.js";
import { copyText } from "../clipboard.js";
import { isLive } from "../conversation_state.js";
import { explained } from "../cures.js";
import { GrowingMarkdown } from "../markdown/growing.js";
import { endWords, waitingWords } from "../words.js";

export class ReplyView {
  element;

  #actions;
  #shown = { reply: null, context: null };
  #markdown;
  #text = el("div", { className: "prose" });
  #state = el("p", { className: "reply-state", hidden: true });
  #end = el("div", { className: "reply-end" });

  /** `actions` has regenerate, retry, select and rate, each taking the reply. */
  constructor(actions) {
    this.#actions = actions;
    this.#markdown = new GrowingMarkdown(this.#text);
    this.element = el("article", { className: "reply", tabIndex: -1 }, this.#text, this.#state, this.#end);
  }

  /** `context` is `{isLast, count, number, ahead, now}`: where the reply stands, and when it is looked at. */
  update(reply, context) {
    const live = isLive(reply);
    this.#markdown.show(reply.content, { isFinal: !live });
    this.#showState(live ? waitingWords(reply, { ...context, reason: reply.reason }) : null, reply);
    if (reply === this.#shown.reply && isSameEnd(context, this.#shown.context)) return;
    this.#shown = { reply, context };
    this.element.setAttribute("aria-busy", String(live));
    this.element.setAttribute("aria-label", context.count > 1 ? `Answer ${context.number} of ${context.count}` : "Answer");
    this.element.classList.toggle("is-chosen", context.count > 1 && reply.selected);
    // While it is live nothing stands at the end, and this is called for every word.
    if (!live || this.#end.hasChildNodes()) this.#showEnd(reply, context, live);
  }

  #showState(words, reply) {
    this.#state.hidden = words === null;
    if (words !== null && this.#state.textContent !== words) this.#state.textContent = words;
    this.#text.classList.toggle("is-growing", words === null && isLive(reply));
  }

  #showEnd(reply, context, live) {
    // A button that has the focus is made anew, and should have it then, too.
    const focused = focusedIn(this.#end)?.dataset.name;
    this.#end.replaceChildren(...(live ? [] : this.#endOf(reply, context)));
    if (focused) (find(this.#end, `[data-name="${focused}"]`) ?? this.element).focus();
  }

  #endOf(reply, context) {
    const words = endWords(reply);
    return [
      reply.error && errorBox(reply.error),
      words && el("p", { className: "reply-note" }, words),
      el("div", { className: "reply-buttons" }, ...this.#buttonsOf(reply, context)),
      context.count > 1 && this.#choiceOf(reply, context),
    ].filter(Boolean);
  }

  #buttonsOf(reply, { isLast }) {
    const { regenerate, retry, rate } = this.#actions;
    const canRetry = reply.status === "failed" || (reply.status === "cancelled" && reply.content === "");
    return [
      isLast && canRetry && labelled("again", "Retry", once(() => retry(reply)), named("retry")),
      reply.content && iconButton("copy", "Copy answer", (event) => copyText(reply.content, event.currentTarget), named("copy")),
      isLast && reply.model && !canRetry && iconButton("again", "Regenerate", once(() => regenerate(reply)), named("regenerate")),
      ...(isSelectable(reply) && reply.model ? ratings(reply, rate) : []),
      reply.model && el("span", { className: "reply-model" }, reply.model),
    ].filter(Boolean);
  }

  /** Which of several answers the conversation goes on from. */
  #choiceOf(reply, { isLast }) {
    const choose = once(() => this.#actions.select(reply));
    if (reply.selected) return el("p", { className: "chosen" }, icon("check"), "Goes on from here");
    return isLast && isSelectable(reply) && labelled("check", "Use this answer", choose, named("select"));
  }
}

function named(name) {
  return { data: { name } };
}

/** A second click while the first is under way does nothing. */
function once(action) {
  let isUnderWay = false;
  return async () => {
    if (isUnderWay) return;
    isUnderWay = true;
    await action();
    isUnderWay = false;
  };
}

function isSelectable(reply) {
  return reply.status === "completed" || (reply.status === "incomplete" && reply.content !== "");
}

function isSameEnd(a, b) {
  return a.isLast === b?.isLast && a.count === b.count && a.number === b.number;
}

function labelled(drawing, label, onClick, properties) {
  return el(
    "button",
    { type: "button", className: "button small", on: { click: onClick }, ...properties },
    icon(drawing),
    label,
  );
}

/** Thumbs up and down, each taken back by a second press, and a word about why once there is a thumb. */
function ratings(reply, rate) {
  const { rating: given = null, comment = null } = reply.feedback ?? {};
  const thumbs = [
    ["up", "Good answer"],
    ["down", "Bad answer"],
  ].map(([rating, label]) =>
    iconButton(rating, label, () => rate(reply, { rating: given === rating ? null : rating }), {
      "aria-pressed": String(given === rating),
      ...named(rating),
    }),
  );
  if (given === null) return thumbs;
  const say = async () => {
    const said = await askForText({
      title: given === "up" ? "What was good about it?" : "What was bad about it?",
      label: "Comment",
      value: comment ?? "",
      confirm: "Save",
    });
    if (said !== null) rate(reply, { rating: given, comment: said || null });
  };
  const label = comment ? "Change the comment" : "Add a comment";
  return [
    ...thumbs,
    el("button", { type: "button", className: "quiet-button", title: comment, on: { click: say }, ...named("comment") }, label),
  ];
}

/** What went wrong, and what helps. */
function errorBox({ code, message }) {
  const title = el("strong", {}, "This answer failed.");
  const cure = el("p", { className: "cure" });
  explained(code).then((explanation) => {
    if (!explanation) return;
    title.textContent = `${explanation.title}.`;
    cure.textContent = explanation.cure;
  });
  return el("div", { className: "reply-error" }, title, el("p", {}, message), cure);
}
