"""Light and dark, wide and narrow, and for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, ViewportSize, expect

from tests.browser.accessibility import serious_of
from tests.browser.chat_page import ChatPage

Ask = Callable[..., str]
Shoot = Callable[[ChatPage, str], None]

PHONE: ViewportSize = {"width": 390, "height": 780}
SAYS = """\
## Rainbows

Sunlight is **white**, and white is *all colours at once*. A drop of rain takes it apart, see [optics](https://example.org).

1. The light enters the drop and bends.
2. It is thrown back at the far side.

| colour | angle |
|---|--:|
| red | 42.4° |
| violet | 40.6° |

```python
def angle(colour: str) -> float:
    return {"red": 42.4, "violet": 40.6}[colour]  # degrees
```

The angle is the one at which $D(i)$ is least:

$$ D(i) = \\pi + 2 i - 4 \\arcsin \\frac{\\sin i}{n} $$

> You see each colour from other drops.
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    scheme: str, ask: Ask, new_context: Callable[..., BrowserContext], new_tab: Callable[..., ChatPage], shoot: Shoot
) -> None:
    # Its scripts are put into the page, which the page's policy would forbid.
    chat = new_tab(new_context(color_scheme=scheme, bypass_csp=True))
    chat.open()
    assert serious_of(chat.page) == []
    chat.open(ask(SAYS, model="demo-echo"))
    expect(chat.answer().locator(".hljs-keyword").first).to_be_visible()
    shoot(chat, f"answer-{scheme}")
    assert serious_of(chat.page) == []
    chat.open(ask("Hello", model="demo-fail-401", n=2))
    expect(chat.answer(1)).to_contain_text("sets a valid OPENAI_API_KEY")
    shoot(chat, f"failure-{scheme}")
    assert serious_of(chat.page) == []
    chat.page.get_by_role("button", name="Settings of this conversation").click()
    assert serious_of(chat.page) == []


def test_a_chosen_theme_stays(chat: ChatPage) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = chat.page.evaluate(background)
    button = chat.page.get_by_role("button", name="Theme:")
    button.click()
    assert chat.page.evaluate(background) == light
    button.click()
    dark = chat.page.evaluate(background)
    assert dark != light
    chat.page.reload()
    assert chat.page.evaluate(background) == dark


def test_on_a_phone_the_conversations_are_in_a_drawer(chat: ChatPage, ask: Ask, shoot: Shoot) -> None:
    chat.page.set_viewport_size(PHONE)
    conversation = ask(SAYS, model="demo-echo", n=2)
    chat.open()
    expect(chat.conversations.get_by_role("link").first).to_be_hidden()
    chat.page.get_by_role("button", name="Show conversations").click()
    expect(chat.page.get_by_role("button", name="New conversation")).to_be_focused()
    shoot(chat, "phone-drawer")
    chat.conversations.locator(f'a[href$="{conversation}"]').click()
    expect(chat.answer()).to_contain_text("You see each colour from other drops.")
    expect(chat.page.get_by_role("button", name="New conversation")).to_be_hidden()
    shoot(chat, "phone-answer")
    assert chat.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    chat.page.get_by_role("button", name="Show conversations").click()
    chat.page.keyboard.press("Escape")
    expect(chat.page.get_by_role("button", name="Show conversations")).to_be_focused()


def test_everything_is_done_by_keyboard(chat: ChatPage, ask: Ask) -> None:
    chat.open(ask("Hello, I am Ada"))
    chat.page.keyboard.press("Control+k")
    expect(chat.page.get_by_role("searchbox", name="Search conversations")).to_be_focused()
    chat.page.keyboard.press("Alt+n")
    expect(chat.page.get_by_text("What would you like to know?")).to_be_visible()
    expect(chat.message).to_be_focused()
    chat.page.keyboard.press("Alt+h")
    expect(chat.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    chat.page.keyboard.press("Escape")
    chat.page.keyboard.type("What is 12 * 7?")
    chat.page.keyboard.press("Enter")
    chat.finished("12 * 7 is 84.")
    expect(chat.message).to_be_focused()


def test_a_keyboard_on_the_screen_makes_new_lines(
    new_context: Callable[..., BrowserContext], new_tab: Callable[..., ChatPage]
) -> None:
    chat = new_tab(new_context(viewport=PHONE, has_touch=True, is_mobile=True)).open()
    chat.message.press_sequentially("one\ntwo")
    expect(chat.message).to_have_value("one\ntwo")
    chat.send_button.tap()
    expect(chat.thread.get_by_label("You").locator(".said-text")).to_have_text("one\ntwo")


def test_with_large_letters_there_is_room_to_read(chat: ChatPage, ask: Ask) -> None:
    """As at 400 % of a screen of 1280 by 1024."""
    chat.open(ask(SAYS, model="demo-echo"))
    chat.page.set_viewport_size({"width": 320, "height": 256})
    expect(chat.answer().get_by_text("You see each colour from other drops.")).to_be_in_viewport()
    assert chat.page.evaluate("document.documentElement.scrollWidth") == 320
