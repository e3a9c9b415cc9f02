// What a newcomer finds: what this is, and something to try.

import { el } from "../../base/dom.js";

const EXAMPLES = [
  "Hello, I am Ada",
  "What is 12 * 7?",
  "Explain how a rainbow comes about, to a child of eight",
];

/** `onExample(text)` is called when one is chosen. */
export function emptyView({ onExample }) {
  return el(
    "div",
    { className: "empty" },
    el("h2", {}, "Hello! What would you like to know?"),
    el(
      "p",
      {},
      "Ask something, close the tab, pull the plug: the answer is made anyway and will be here when you come back.",
    ),
    el(
      "ul",
      { className: "examples", "aria-label": "Examples" },
      ...EXAMPLES.map((text) =>
        el("li", {}, el("button", { type: "button", className: "example", on: { click: () => onExample(text) } }, text)),
      ),
    ),
  );
}
