// Light or dark: as the system has it, unless somebody chose.

import { icon } from "./dom.js";
import { ofBrowser } from "./storage.js";

const NEXT = { system: "light", light: "dark", dark: "system" };
const ICONS = { system: "half", light: "sun", dark: "moon" };

function current() {
  return document.documentElement.dataset.theme ?? "system";
}

/** Makes a button go through system, light and dark. */
export function themeButton(button) {
  function show() {
    const label = `Theme: ${current()}. Change to ${NEXT[current()]}`;
    button.replaceChildren(icon(ICONS[current()]));
    button.setAttribute("aria-label", label);
    button.title = label;
  }
  button.addEventListener("click", () => {
    const next = NEXT[current()];
    if (next === "system") {
      delete document.documentElement.dataset.theme;
      ofBrowser.remove("theme");
    } else {
      document.documentElement.dataset.theme = next;
      ofBrowser.set("theme", next);
    }
    show();
  });
  show();
}
