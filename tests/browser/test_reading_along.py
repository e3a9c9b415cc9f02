"""The end of a conversation stays in sight of whoever reads there, and of nobody else."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Route, expect

from tests.browser.chat_page import ChatPage
from tests.fixtures.up import Up

Ask = Callable[..., str]

# How many pixels are out of sight, once what has just changed is laid out and seen.
BELOW_AFTER_TWO_FRAMES = """thread => new Promise(done => {
    const below = () => done(thread.scrollHeight - thread.scrollTop - thread.clientHeight);
    requestAnimationFrame(() => requestAnimationFrame(below));
})"""


def test_whoever_moves_up_a_line_reads_on_there(chat: ChatPage, up: Up) -> None:
    chat.open(up.post("/conversations/", {"model": "demo-6000ms"})["id"])
    chat.say("\n".join(f"line {number}" for number in range(24)))
    expect(chat.answer().locator(".prose.is-growing")).to_contain_text("You said")
    chat.thread.focus()
    chat.page.keyboard.press("ArrowUp")
    has_moved = "thread => thread.scrollTop < thread.scrollHeight - thread.clientHeight"
    chat.page.wait_for_function(f"() => ({has_moved})(document.getElementById('thread'))")
    chat.finished("to talk to a real one.")
    assert chat.thread.evaluate(has_moved)
    chat.page.keyboard.press("End")
    expect(chat.answer().get_by_role("button", name="Regenerate")).to_be_in_viewport()


def test_whoever_is_at_the_end_stays_there_when_the_window_becomes_smaller(chat: ChatPage, ask: Ask) -> None:
    """Also where a slow machine tells of the page's own move only after that."""
    chat.open(ask("\n\n".join(f"line {number}" for number in range(24)), model="demo-echo"))
    last = chat.answer().get_by_role("button", name="Regenerate")
    expect(last).to_be_in_viewport()
    height = chat.thread.evaluate(
        """thread => {
            thread.scrollTop -= 1;
            thread.scrollTop += 1;
            thread.closest(".app").style.height = "400px";
            return thread.clientHeight;
        }"""
    )
    assert 0 < height < 400
    expect(last).to_be_in_viewport()


def test_whoever_is_at_the_end_stays_there_when_something_above_it_grows_later(chat: ChatPage, ask: Ask) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    chat.page.route("**/errors/*", hold)
    chat.page.set_viewport_size({"width": 320, "height": 256})
    with chat.page.expect_request("**/errors/*"):
        chat.open(ask("Hello", model="demo-fail-401"))
    last = chat.answer().get_by_role("button", name="Retry")
    expect(last).to_be_in_viewport()
    for route in held:
        route.continue_()
    expect(chat.answer()).to_contain_text("sets a valid OPENAI_API_KEY")
    assert chat.thread.evaluate(BELOW_AFTER_TWO_FRAMES) < 1


def test_whoever_unfolds_a_long_message_reads_that(chat: ChatPage, ask: Ask) -> None:
    chat.open(ask("\n".join(f"line {number}" for number in range(60))))
    chat.page.get_by_role("button", name="Show all").click()
    expect(chat.page.get_by_role("button", name="Go to the newest message")).to_be_visible()
