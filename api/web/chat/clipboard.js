// Copying text, also where the page is not served over https and the browser's clipboard is out of reach.

import { focusedIn, icon } from "../base/dom.js";
import { announce } from "./announcer.js";

const SHOWN_MS = 1500;

/** Copies the text and says so, for a moment also by the drawing on the button. */
export async function copyText(text, button) {
  const isCopied = await written(text);
  announce(isCopied ? "Copied" : "Copying is not possible here");
  draw(button, isCopied ? "check" : "close");
  setTimeout(() => draw(button, "copy"), SHOWN_MS);
}

function draw(button, name) {
  button.querySelector(".icon").replaceWith(icon(name));
}

async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writtenByHand(text);
  }
}

function writtenByHand(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "off-screen";
  const before = focusedIn();
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  before?.focus();
  return isCopied;
}
