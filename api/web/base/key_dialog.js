// Asking for an API key, where the server takes none without.

import { openForm } from "./dialogs.js";
import { el } from "./dom.js";
import { useKey } from "./key.js";

/** Asks until there is a key; resolves to true, since the request is worth another try then. */
export async function askForKey({ wasRefused, detail }) {
  const input = el("input", { type: "password", required: true, autocomplete: "off", spellcheck: false, placeholder: "ak_…" });
  const remember = el("input", { type: "checkbox" });
  await openForm({
    title: wasRefused ? "This key was refused" : "This server asks for a key",
    content: [
      el("p", {}, wasRefused ? detail : "Whoever runs the server makes one with ", wasRefused ? null : el("code", {}, "asyncchat keys create"), wasRefused ? null : "."),
      el("label", { className: "field" }, "API key", input),
      el("label", { className: "choice" }, remember, "Remember it on this device"),
      el("p", { className: "hint" }, "Otherwise it is forgotten when this tab is closed."),
    ],
    confirm: "Use this key",
    cancel: null,
  });
  useKey(input.value.trim(), { isRemembered: remember.checked });
  return true;
}
