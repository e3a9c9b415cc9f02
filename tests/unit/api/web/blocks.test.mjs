// Markdown that is still coming: what was shown for good stays right.

import assert from "node:assert/strict";
import { test } from "node:test";

import { lexer } from "../../../../api/web/vendor/marked.js";
import { settle } from "../../../../api/web/chat/markdown/blocks.js";

const TEXT = `# A title

Some *words*
in a paragraph.

- one
- two

  still two
- three

\`\`\`python
def f():

    return 1
\`\`\`

| a | b |
|---|---|
| 1 | 2 |

> quoted

1. first
2. second

The end.`;

function kinds(text) {
  return lexer(text)
    .filter((token) => token.type !== "space")
    .map((token) => token.type);
}

test("word by word the same blocks come out as from the whole", () => {
  const blocks = [];
  let rest = "";
  for (const piece of TEXT.split(/(?<=\s)/)) {
    const settled = settle(rest + piece);
    blocks.push(...settled.blocks);
    rest = settled.rest;
  }
  assert.deepEqual([...blocks, rest].flatMap(kinds), kinds(TEXT));
  assert.equal(`${blocks.join("")}${rest}`.replace(/\s/g, ""), TEXT.replace(/\s/g, ""));
});

test("nothing is settled before something follows", () => {
  assert.deepEqual(settle("A paragraph"), { blocks: [], rest: "A paragraph" });
  assert.deepEqual(settle("```\ncode\n\nmore"), { blocks: [], rest: "```\ncode\n\nmore" });
  assert.deepEqual(settle(""), { blocks: [], rest: "" });
});

test("a paragraph that never ends is shown piece by piece", () => {
  const text = "word ".repeat(5000);
  const { blocks, rest } = settle(`${text}and`);
  assert.deepEqual(blocks, [text]);
  assert.equal(rest, "and");
  const code = `\`\`\`\n${text}`;
  assert.deepEqual(settle(code), { blocks: [], rest: code });
});
