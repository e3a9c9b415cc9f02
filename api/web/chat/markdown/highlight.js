// Colours in code. The library is fetched when there is the first code to colour.

import DOMPurify from "../../vendor/dompurify.js";

// Longer code stays as it is: it would hold up everything else.
const LONGEST = 20_000;
const SPANS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

let library = null;
let loading = null;

/** Colours an element's text, now or once the library is there. */
export function paint(code, language) {
  const text = code.textContent;
  if (!language || text.length > LONGEST) return;
  if (!library) {
    loading ??= import("../../vendor/highlight.js").then((module) => (library = module.default));
    loading.then(
      () => code.isConnected && code.textContent === text && paint(code, language),
      () => (loading = null),
    );
    return;
  }
  if (!library.getLanguage(language)) return;
  const { value } = library.highlight(text, { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, SPANS));
}
