// Markdown as models write it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parser } from "../../../../api/web/chat/markdown/parser.js";

const html = (text) => parser.parse(text).trim();
const formula = (text) => `<code class="formula">${text}</code>`;

test("formulas are shown as they are written", () => {
  assert.equal(html("\\(a_1 + b_1\\) and $x_1 * y_2 * z_3$"), `<p>${formula("\\(a_1 + b_1\\)")} and ${formula("$x_1 * y_2 * z_3$")}</p>`);
  assert.equal(html("- so \\[ a*b*c \\]"), `<ul>\n<li>so ${formula("\\[ a*b*c \\]")}</li>\n</ul>`);
  assert.match(html("$$\na\n=\nb < c\n$$\nThen"), /^<p><code class="formula shown">\$\$\na\n=\nb &#60; c\n\$\$<\/code><\/p>\n<p>Then<\/p>$/);
});

test("prices, variables, code and what has no end are no formulas", () => {
  for (const text of ["It costs $5, then $10.", "US$5 or CA$6", "$HOME and $PATH", "\\( without an end", "$$ one\n\ntwo $$"]) {
    assert.doesNotMatch(html(text), /formula/, text);
  }
  assert.equal(html("`\\(a_1\\)`"), "<p><code>\\(a_1\\)</code></p>");
});

test("a line break is one", () => {
  assert.equal(html("Roses are red,\nviolets are blue"), "<p>Roses are red,<br>violets are blue</p>");
});

test("what looks like many formulas takes no long time", () => {
  for (const part of ["\\(", "\\[x\n", "$a ", "$$"]) {
    const began = process.cpuUsage().user;
    html(part.repeat(10_000));
    assert.ok(process.cpuUsage().user - began < 5_000_000, part);
  }
});
