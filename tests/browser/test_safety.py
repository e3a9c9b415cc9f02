"""Nothing that is said can run, be fetched, or lead astray."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import DESKTOP
from tests.fixtures.up import Up

Ask = Callable[..., str]

# Each would set `window.hurt` if anything of it ran; none of the addresses may be asked for.
ATTACKS = """\
<script>window.hurt = 1</script>
<img src=x onerror="window.hurt = 1">
<svg onload="window.hurt = 1"><animate onbegin="window.hurt = 1" attributeName=x /></svg>
<iframe srcdoc="<script>parent.hurt = 1</script>"></iframe>
<math><mtext><table><mglyph><style><img src onerror="window.hurt = 1">

[click](javascript:window.hurt=1) [data](data:text/html,<script>window.hurt=1</script>) [ok](https://example.org/ok)

![pixel](https://example.org/pixel.png?what=secret) ![](javascript:window.hurt=1)

<a href="javascript:window.hurt=1" onclick="window.hurt=1">a</a> <form action="https://example.org"><button>b</button></form>

`<img src=x onerror="window.hurt = 1">`

```html
<img src=x onerror="window.hurt = 1"></code></pre><script>window.hurt = 1</script>
```

```"><img src=x onerror=window.hurt=1>
code
```

| <script>window.hurt = 1</script> | [x](vbscript:x "<img src=x onerror=window.hurt=1>") |
|---|---|
| <base href="https://example.org"> | <style>@import "https://example.org/x.css"</style> |
"""


def test_what_the_model_says_is_text(chat: ChatPage, ask: Ask) -> None:
    """The echo brings it through the model; the same text stands in the user's message and in the title."""
    chat.open(ask(ATTACKS, model="demo-echo"))
    chat.finished("code")
    prose = chat.answer().locator(".prose")
    expect(prose).to_contain_text("<script>window.hurt = 1</script>")
    inside = "script, img, svg, iframe, style, form, button:not(.quiet-button), base, object, math"
    expect(prose.locator(inside).filter(visible=True)).to_have_count(prose.locator(".quiet-button svg").count())
    expect(chat.thread.get_by_label("You").locator(".said-text > *")).to_have_count(0)
    for link in chat.answer().locator(".prose a[href]").all():
        assert (link.get_attribute("href") or "").startswith("https://example.org")
        assert link.get_attribute("rel") == "noopener noreferrer"
        assert link.get_attribute("target") == "_blank"
    expect(prose.get_by_role("link", name="Image: pixel")).to_be_visible()
    for link in chat.answer().locator(".prose a:not([href])").all():
        link.click()
    assert chat.page.evaluate("window.hurt") is None
    attributes = "[...document.querySelectorAll('.prose *')].flatMap(e => [...e.attributes].map(a => a.name))"
    assert not [name for name in chat.page.evaluate(attributes) if name.startswith("on") or name == "style"]


def test_formulas_are_set_and_nothing_in_them_runs(chat: ChatPage, ask: Ask) -> None:
    attacks = (
        r"$\href{javascript:window.hurt=1}{x}$ $\text{<img src=x onerror=window.hurt=1>}$ $\includegraphics{https://example.org/x}$",
        r"$\def\a{\a\a}\a$ \( \style{background:url(https://example.org/y)}{x} \) $\rule{9999em}{9999em}$",
    )
    shown = "\\[ \\frac{a_1}{b_1} \\]"
    chat.open(ask("\n\n".join((*attacks, "$\\broken{$", shown, "The end")), model="demo-echo"))
    chat.finished("The end")
    expect(chat.answer().locator("math[display=block] mfrac")).to_be_visible()
    expect(chat.answer().locator("code.formula").last).to_have_text("$\\broken{$")
    prose = chat.answer().locator(".prose")
    expect(prose.locator("img, a, [style], [href], script")).to_have_count(0)
    assert chat.page.evaluate("window.hurt") is None
    width = chat.page.evaluate("document.documentElement.scrollWidth")
    assert width == DESKTOP["width"]


def test_while_it_is_being_written_it_is_text_too(chat: ChatPage) -> None:
    """Cut anywhere, as tokens cut it, nothing of it runs: every beginning is shown once."""
    hurt = chat.page.evaluate(
        """async text => {
          const place = document.querySelector('script[type=module]').src.replace('chat/main.js', '');
          const { GrowingMarkdown } = await import(place + 'chat/markdown/growing.js');
          for (let length = 1; length <= text.length; length += 7) {
            const element = document.createElement('div');
            document.body.append(element);
            new GrowingMarkdown(element).show(text.slice(0, length), { isFinal: false });
            element.remove();
          }
          await new Promise(requestAnimationFrame);
          return window.hurt ?? null;
        }""",
        ATTACKS,
    )
    assert hurt is None


def test_the_end_of_an_answer_leaves_what_is_shown_alone(chat: ChatPage) -> None:
    """What somebody has selected stays selected; only what reads otherwise now is shown anew."""
    kept = chat.page.evaluate(
        """async () => {
          const place = document.querySelector('script[type=module]').src.replace('chat/main.js', '');
          const { GrowingMarkdown } = await import(place + 'chat/markdown/growing.js');
          const element = document.createElement('div');
          const growing = new GrowingMarkdown(element);
          const text = '# One\\n\\ntwo\\n\\n- three\\n\\n```\\nfour\\n```\\n\\nsee [five]\\n\\n[five]: https://example.org';
          growing.show(text, { isFinal: false });
          const before = [...element.children];
          growing.show(text, { isFinal: true });
          return [...element.children].map((each, index) => each === before[index]);
        }"""
    )
    assert kept == [True, True, True, True, False]


def test_the_policy_forbids_what_the_sanitiser_would_let_through(
    up: Up, new_context: Callable[..., BrowserContext]
) -> None:
    """Nothing but the sanitiser makes HTML of a text, and nothing runs that stands in it."""
    page = new_context().new_page()
    page.goto(up.url)
    for attempt in ("innerHTML = '<b>text</b>'", "setAttribute('onclick', 'window.hurt = 1')"):
        refused = f"() => {{ try {{ document.createElement('p').{attempt} }} catch (error) {{ return error.name }} }}"
        assert page.evaluate(refused) == "TypeError"
    assert page.evaluate("window.hurt") is None
