// Markdown as models write it: GitHub's, with every line break kept, and formulas in TeX, which are left as they are.

import { Marked } from "../../vendor/marked.js";

// Where a link may lead.
export const LINKS = /^(https?:|mailto:)/i;
const HARMLESS = /^<\/?(br|sub|sup|kbd|mark|u)\s*\/?>$/i;

// TeX between \( \), \[ \], $$ $$ or $ $. Single dollars are those of a formula only where Pandoc takes them for it: prices
// are none. A formula has no empty line in it, and an end within reach, so that looking for it takes little time.
const INSIDE = String.raw`(?:(?!\n[^\S\n]*\n)[^]){1,1000}?`;
const SHOWN = String.raw`\\\[${INSIDE}\\\]|\$\$${INSIDE}\$\$`;
const FORMULA = new RegExp(String.raw`^(?:${SHOWN}|\\\(${INSIDE}\\\)|\$(?![\s$])(?:\\.|[^\\$\n]){1,300}?(?<!\s)\$(?!\d))`);
const FORMULA_BLOCK = new RegExp(String.raw`^(?:${SHOWN})[^\S\n]*(?:\n+|$)`);
const FORMULA_BEGINS = /\\[([]|\$/;

/** Text as HTML that means the same. */
function escaped(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const formula = {
  name: "formula",
  level: "inline",
  start: (source) => FORMULA_BEGINS.exec(source)?.index,
  tokenizer(source) {
    const raw = FORMULA.exec(source)?.[0];
    return raw && { type: "formula", raw };
  },
  renderer: ({ raw }) => `<code class="formula">${escaped(raw)}</code>`,
};

// Otherwise a line of it that begins with = or - would be Markdown.
const formulaBlock = {
  name: "formulaBlock",
  level: "block",
  tokenizer(source) {
    const raw = FORMULA_BLOCK.exec(source)?.[0];
    return raw && { type: "formulaBlock", raw };
  },
  renderer: ({ raw }) => `<p><code class="formula shown">${escaped(raw.trimEnd())}</code></p>\n`,
};

export const parser = new Marked({
  gfm: true,
  breaks: true,
  extensions: [formula, formulaBlock],
  renderer: {
    html({ text, block }) {
      if (HARMLESS.test(text.trim())) return text;
      return block ? `<p>${escaped(text)}</p>` : escaped(text);
    },
    // An image would be fetched from wherever the model says, with whatever it knows in the address.
    image({ href, text }) {
      return LINKS.test(href) ? `<a href="${escaped(href)}">${escaped(`Image: ${text || href}`)}</a>` : escaped(text);
    },
  },
});
