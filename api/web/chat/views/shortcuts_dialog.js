// The keys that do something.

import { openForm } from "../../base/dialogs.js";
import { el } from "../../base/dom.js";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const COMMAND = isMac ? "⌘" : "Ctrl";
const OPTION = isMac ? "⌥" : "Alt";

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
    if (document.querySelector("dialog[open]")) return;
    const isCommand = isMac ? event.metaKey : event.ctrlKey;
    let name = null;
    if (event.key === "Escape") name = "stop";
    else if (isCommand && event.code === "KeyK") name = "search";
    else if (event.altKey && !event.ctrlKey && !event.metaKey) name = byCode[event.code] ?? null;
    if (name === null) return;
    if (name !== "stop") event.preventDefault();
    actions[name]();
  });
}
