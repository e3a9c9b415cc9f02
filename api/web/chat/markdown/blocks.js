// Markdown that is still coming, cut into blocks that can be shown for good and a tail that may change.

import { parser } from "./parser.js";

// No paragraph that people write is longer. Of one that is, only the end is rendered again with every word.
const LONG_PARAGRAPH = 8000;

/**
 * The blocks at the beginning of `text` that no later text can change, and what is left.
 * The last block may go on: a paragraph by its next words, a list by its next item.
 */
export function settle(text) {
  const tokens = parser.lexer(text);
  const last = tokens.findLastIndex((token) => token.type !== "space");
  const blocks = [];
  let at = 0;
  for (const token of tokens.slice(0, Math.max(last, 0))) {
    // The lexer writes some white space in another way. What it did not take as it is must wait for the end.
    if (!text.startsWith(token.raw, at)) break;
    at += token.raw.length;
    if (token.type !== "space") blocks.push(token.raw);
  }
  const cut = tokens[last]?.type === "paragraph" && text.length - at > LONG_PARAGRAPH ? text.lastIndexOf(" ") + 1 : at;
  if (cut > at) blocks.push(text.slice(at, cut));
  return { blocks, rest: text.slice(Math.max(at, cut)) };
}
