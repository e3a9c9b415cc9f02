// Markdown becomes elements. What the model says can not run, and fetches nothing.
//
// Twice safe: HTML in the Markdown is shown as the text that it is, but for a few harmless tags, and what comes out of
// the parser goes through a sanitiser that knows no other tags than those listed here.

import DOMPurify from "../../vendor/dompurify.js";
import { el, icon } from "../../base/dom.js";
import { copyText } from "../clipboard.js";
import { setFormula } from "./formulas.js";
import { paint } from "./highlight.js";
import { LINKS, parser } from "./parser.js";

const ALLOWED = {
  ALLOWED_TAGS: [
    ...["a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "input", "kbd", "li"],
    ...["mark", "ol", "p", "pre", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul"],
  ],
  ALLOWED_ATTR: ["align", "checked", "class", "disabled", "href", "start", "type"],
  ALLOWED_URI_REGEXP: LINKS,
  // What is no address is not held to that.
  ADD_URI_SAFE_ATTR: ["align", "checked", "disabled", "start", "type"],
  RETURN_DOM_FRAGMENT: true,
};

/** The elements of a piece of Markdown. */
export function rendered(markdown) {
  const fragment = DOMPurify.sanitize(parser.parse(markdown), ALLOWED);
  fragment.querySelectorAll("a").forEach(finishLink);
  fragment.querySelectorAll("pre > code").forEach(finishCode);
  fragment.querySelectorAll("code.formula").forEach(setFormula);
  fragment.querySelectorAll("input").forEach(finishTick);
  fragment.querySelectorAll("table").forEach((table) => {
    const scroller = el("div", { className: "table-scroller", tabIndex: 0, role: "group", "aria-label": "Table" });
    table.replaceWith(scroller);
    scroller.append(table);
  });
  // Each is read in the direction of its own language, but code.
  for (const block of fragment.children) if (!block.hasAttribute("dir")) block.setAttribute("dir", "auto");
  return fragment;
}

function finishLink(link) {
  if (!link.hasAttribute("href")) return;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
}

/** A list's tick box; nothing else that can be filled in is let through. */
function finishTick(input) {
  if (input.type !== "checkbox") input.remove();
  input.disabled = true;
  input.setAttribute("aria-label", input.checked ? "done" : "to do");
}

function finishCode(code) {
  const language = /\blanguage-(\S+)/.exec(code.className)?.[1] ?? "";
  const copy = el("button", { type: "button", className: "quiet-button" }, icon("copy"), "Copy code");
  copy.addEventListener("click", () => copyText(code.textContent, copy));
  const pre = code.parentElement;
  pre.tabIndex = 0;
  pre.setAttribute("aria-label", language ? `Code in ${language}` : "Code");
  pre.setAttribute("role", "group");
  const block = el("div", { className: "code", dir: "ltr" }, el("div", { className: "code-head" }, el("span", {}, language), copy));
  pre.replaceWith(block);
  block.append(pre);
  paint(code, language);
}
