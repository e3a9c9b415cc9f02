// Replies that are under way, with what they wait for, and those that failed, with their attempts.

import { el } from "../../base/dom.js";
import { showRows } from "../rows.js";
import { clockWords, codeWords, counted, durationWords, liveWords } from "../words.js";

const SHORT = 8;

/** `onCancel(id)` is called when somebody wants a reply to stop. */
export function showLive(element, replies, { asked, now, onCancel }) {
  const items = replies.map((reply) => ({ reply, words: liveWords(reply, now), isAsked: reply.id in asked }));
  showRows(element, items, {
    keyOf: ({ reply }) => reply.id,
    of: ({ reply, words, isAsked }) => `${reply.status} ${words} ${isAsked}`,
    make: ({ reply, words, isAsked }) =>
      el(
        "li",
        { className: "card" },
        el("div", { className: "card-text" }, title(reply), el("p", {}, words)),
        action(isAsked ? "Cancelling…" : "Cancel", reply, isAsked, onCancel),
      ),
  });
}

/** `onRetry(id)` is called when somebody wants a reply to be tried again. */
export function showFailed(element, replies, { asked, onRetry }) {
  const items = replies.map((reply) => ({ reply, isAsked: reply.id in asked }));
  showRows(element, items, {
    keyOf: ({ reply }) => reply.id,
    of: ({ reply, isAsked }) => `${reply.attempt} ${isAsked}`,
    make: ({ reply, isAsked }) =>
      el(
        "li",
        { className: "card" },
        el(
          "div",
          { className: "card-text" },
          title(reply),
          el(
            "p",
            {},
            el("a", { className: "code", href: `/errors/${reply.error.code}` }, codeWords(reply.error.code)),
            ` ${reply.error.message}`,
          ),
          el(
            "details",
            {},
            el(
              "summary",
              { data: { part: "attempts" } },
              `${counted(reply.attempts.length, "try", "tries")}, ended at ${clockWords(reply.finished_at, { hasSeconds: true })}`,
            ),
            el("ol", { className: "attempts" }, ...reply.attempts.map(attempt)),
          ),
        ),
        action(isAsked ? "Retrying…" : "Retry", reply, isAsked, onRetry),
      ),
  });
}

function title(reply) {
  return el(
    "p",
    { className: "card-title" },
    el("a", { href: `/#/c/${reply.conversation_id}`, title: reply.conversation_id }, nameOf(reply)),
    el("span", { className: "model" }, reply.model),
  );
}

/** Which one it is: several answers may be made for a turn. */
function nameOf({ turn, candidate, conversation_id: conversation }) {
  return `Turn ${turn}${candidate > 1 ? `, answer ${candidate}` : ""} of …${conversation.slice(-SHORT)}`;
}

function action(label, reply, isAsked, onClick) {
  return el(
    "button",
    {
      type: "button",
      className: "button small",
      disabled: isAsked,
      "aria-label": `${label}: ${nameOf(reply)}`,
      data: { part: "action" },
      on: { click: () => onClick(reply.id) },
    },
    label,
  );
}

function attempt(each) {
  const seconds = each.ended_at ? (Date.parse(each.ended_at) - Date.parse(each.started_at)) / 1000 : null;
  const asked = [each.upstream, each.upstream_model].filter(Boolean).join(", ");
  return el(
    "li",
    { value: each.attempt },
    el("time", { dateTime: each.started_at }, clockWords(each.started_at, { hasSeconds: true })),
    seconds === null ? "" : `, ${durationWords(seconds)}`,
    asked ? `, asked ${asked}` : "",
    each.first_token_seconds === null ? "" : `, first token after ${durationWords(each.first_token_seconds)}`,
    each.error ? `: ${codeWords(each.error.code)}. ${each.error.message}` : `: ${each.outcome ?? "runs"}`,
  );
}
