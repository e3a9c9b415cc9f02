"""Whatever dies, the page goes on by itself."""

from __future__ import annotations

import os
import signal

from playwright.sync_api import APIResponse, Route, expect

from tests.browser.chat_page import ChatPage
from tests.fixtures.up import Up
from tests.fixtures.waiting import wait_for

# So slow that a test sees it being written, also on a machine with much to do.
SLOW = "demo-6000ms"
# It falls silent in the middle, the first time it is asked.
SILENT_ONCE = "demo-stall-once"
WHOLE = "Hello Ada, nice to meet you! I am the demo model: set OPENAI_API_KEY and restart to talk to a real one."


def _ask_slowly(chat: ChatPage, up: Up, model: str = SLOW) -> None:
    """An answer is being written."""
    chat.open(up.post("/conversations/", {"model": model})["id"])
    chat.say("Hello, I am Ada")
    expect(chat.answer().locator(".prose.is-growing")).to_contain_text("Hello")


def _ended_whole(chat: ChatPage) -> None:
    chat.finished(WHOLE)
    expect(chat.answer().locator(".prose")).to_have_text(WHOLE)
    expect(chat.answers).to_have_count(1)


def test_a_reload_in_the_middle_goes_on_where_it_was(chat: ChatPage, up: Up) -> None:
    _ask_slowly(chat, up)
    chat.page.reload()
    expect(chat.answer().locator(".prose.is-growing")).to_contain_text("Hello")
    _ended_whole(chat)


def test_the_answer_begins_anew_when_its_worker_dies(chat: ChatPage, up: Up) -> None:
    _ask_slowly(chat, up, SILENT_ONCE)
    killed = up.children()["worker"]
    os.kill(killed, signal.SIGKILL)
    _ended_whole(chat)
    assert up.get(f"/replies/?conversation_id={chat.conversation_id}")["data"][0]["attempt"] == 2


def test_the_page_comes_back_when_the_server_does(chat: ChatPage, up: Up) -> None:
    _ask_slowly(chat, up)
    killed = up.children()["api"]
    with up.starting_nobody():
        os.kill(killed, signal.SIGKILL)
        expect(chat.page.get_by_text("Reconnecting…")).to_be_visible()
        # What is said meanwhile waits for the server, too.
        chat.say("What is my name?")
        expect(chat.thread).to_contain_text("The server cannot be reached. Trying again…")
    assert wait_for(lambda: up.has_another("api", than=killed))
    expect(chat.page.get_by_text("Reconnecting…")).to_be_hidden()
    chat.finished("Your name is Ada.")
    expect(chat.answer(0).locator(".prose")).to_have_text(WHOLE)
    expect(chat.answers).to_have_count(2)


def test_an_answer_that_got_lost_is_not_asked_for_twice(chat: ChatPage, up: Up) -> None:
    conversation = up.post("/conversations/", {"model": "demo-fast"})["id"]
    chat.open(conversation)
    lost: list[int] = []

    def lose(route: Route) -> None:
        """The server has accepted it, and its answer does not arrive."""
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch().status)
            route.abort()

    chat.page.route("**/ask-message/", lose)
    chat.say("Hello, I am Ada")
    chat.finished("nice to meet you")
    expect(chat.thread.get_by_label("You")).to_have_count(1)
    assert lost == [202]
    assert len(up.get(f"/conversations/{conversation}/")["messages"]) == 2


def test_a_message_is_shown_once_while_its_answer_is_under_way(chat: ChatPage, up: Up) -> None:
    """The stream may tell of it first."""
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        held.append((route, route.fetch()))

    chat.open(up.post("/conversations/", {"model": "demo-fast"})["id"])
    chat.page.route("**/ask-message/", hold)
    chat.say("Hello, I am Ada")
    chat.finished("nice to meet you")
    expect(chat.thread.get_by_label("You")).to_have_count(1)
    route, accepted = held[0]
    route.fulfill(response=accepted)
    expect(chat.thread.get_by_label("You")).to_have_count(1)


def test_what_was_being_sent_is_sent_after_a_reload(chat: ChatPage) -> None:
    chat.page.route(
        "**/conversations/", lambda route: route.abort() if route.request.method == "POST" else route.continue_()
    )
    chat.say("Hello, I am Ada")
    expect(chat.thread).to_contain_text("Trying again…")
    chat.page.unroute_all()
    chat.page.reload()
    chat.finished("nice to meet you")


def test_a_draft_is_kept(chat: ChatPage) -> None:
    chat.message.fill("Half a thought")
    chat.page.reload()
    expect(chat.message).to_have_value("Half a thought")


def test_a_page_of_which_a_part_got_lost_asks_once_more(chat: ChatPage) -> None:
    lost: list[str] = []

    def lose(route: Route) -> None:
        if len(lost) < most:
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    chat.page.route("**/router.js", lose)
    most = 1
    chat.open()
    assert len(lost) == 1
    # All of it has arrived, which the page knows by now.
    chat.page.wait_for_load_state("load")
    most = 3
    chat.page.reload()
    expect(chat.page.get_by_text("A part of this page did not arrive.")).to_be_visible()
    assert len(lost) == most
