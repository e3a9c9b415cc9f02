// The keys that do something.

import { openForm } from "../../base/dialogs.js";
import { el, focusedIn } from "../../base/dom.js";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const COMMAND = isMac ? "⌘" : "Ctrl";
// On a Mac ⌥ alone types letters such as ñ.
const OPTION = isMac ? "⌃ ⌥" : "Alt";

/** @type {[string[], string][]} */
const SHORTCUTS = [
  [["Enter"], "Send the message"],
  [["Shift", "Enter"], "A new line"],
  [["Esc"], "Stop answering"],
  [[OPTION, "N"], "New conversation"],
  [[COMMAND, "K"], "Search the conversations"],
  [[OPTION, "M"], "To the message box"],
  [[OPTION, "H"], "This list"],
];

export function showShortcuts() {
  return openForm({
    title: "Keyboard shortcuts",
    content: [
      el(
        "dl",
        { className: "shortcuts" },
        ...SHORTCUTS.flatMap(([keys, what]) => [
          el("dt", {}, ...keys.flatMap((key, index) => [index ? " + " : "", el("kbd", {}, key)])),
          el("dd", {}, what),
        ]),
      ),
    ],
    cancel: "Close",
  });
}

/** Calls the action of each shortcut: `{stop, create, search, compose, help}`. */
export function listenForShortcuts(actions) {
  const byCode = { KeyN: "create", KeyM: "compose", KeyH: "help" };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || document.querySelector("dialog[open]")) return;
    const isCommand = isMac ? event.metaKey : event.ctrlKey;
    const isOption = event.altKey && event.ctrlKey === isMac && !event.metaKey;
    let name = null;
    // In a search box Escape empties the box.
    if (event.key === "Escape") name = focusedIn()?.matches("[type=search]") ? null : "stop";
    else if (isCommand && event.code === "KeyK") name = "search";
    else if (isOption) name = byCode[event.code] ?? null;
    if (name === null) return;
    if (name !== "stop") event.preventDefault();
    actions[name]();
  });
}
