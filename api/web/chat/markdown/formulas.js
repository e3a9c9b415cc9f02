// Formulas, set by the browser itself from MathML. The library is fetched when there is the first formula.

import DOMPurify from "../../vendor/dompurify.js";
import { el } from "../../base/dom.js";

const DELIMITED = /^(\$\$?|\\\[|\\\()([^]*?)(?:\$\$?|\\\]|\\\))$/;
// In em, so that no formula takes the whole page.
const LARGEST = [20, 40];
// The page's policy forbids them, and the browser says so of each.
const STYLES = / style="[^"]*"/g;
const MATHML = {
  ALLOWED_TAGS: [
    ...["math", "mrow", "mi", "mn", "mo", "mtext", "ms", "mspace", "mfrac", "msqrt", "mroot", "mpadded", "mphantom", "mstyle"],
    ...["msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts", "mprescripts", "mtable", "mtr", "mtd"],
  ],
  ALLOWED_ATTR: [
    ...["accent", "accentunder", "class", "columnspan", "depth", "display", "displaystyle", "fence", "form", "height"],
    ...["largeop", "linethickness", "lspace", "mathvariant", "maxsize", "minsize", "movablelimits", "rowspan", "rspace"],
    ...["scriptlevel", "separator", "stretchy", "symmetric", "voffset", "width"],
  ],
  RETURN_DOM_FRAGMENT: true,
};

let library = null;
let loading = null;

/** Sets the formula that an element's text is, now or once the library is there. What cannot be read stays as it is. */
export function setFormula(element) {
  if (!library) {
    loading ??= import("../../vendor/temml.js").then((module) => (library = module.default));
    loading.then(
      () => element.isConnected && setFormula(element),
      () => (loading = null),
    );
    return;
  }
  const [, opening, formula] = DELIMITED.exec(element.textContent) ?? [];
  if (formula === undefined) return;
  const displayMode = opening === "$$" || opening === "\\[";
  try {
    const mathml = library.renderToString(formula, { displayMode, throwOnError: true, maxSize: LARGEST });
    const set = DOMPurify.sanitize(mathml.replace(STYLES, ""), MATHML);
    // A wide one is scrolled.
    const scroller = displayMode ? { tabIndex: 0, role: "group", "aria-label": "Formula" } : {};
    element.replaceWith(el("span", { className: `${element.className} is-set`, ...scroller }, set));
  } catch {
    // It is no TeX, or TeX that the library does not know.
  }
}
