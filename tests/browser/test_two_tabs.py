"""One conversation in two tabs: both show the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.fixtures.up import Up

Ask = Callable[..., str]


@pytest.fixture
def other(chat: ChatPage, new_tab: Callable[..., ChatPage]) -> ChatPage:
    """A second tab of the same browser."""
    return new_tab(chat.page.context)


def test_what_one_asks_both_see_being_answered(chat: ChatPage, other: ChatPage, up: Up) -> None:
    conversation = up.post("/conversations/", {"model": "demo-drip"})["id"]
    for tab in (chat, other):
        tab.open(conversation)
    chat.say("Hello, I am Ada")
    for tab in (chat, other):
        expect(tab.answer().locator(".prose.is-growing")).to_have_text("Hello")
    other.stop_button.click()
    for tab in (chat, other):
        expect(tab.answer()).to_contain_text("Stopped.")
    assert chat.answer().locator(".prose").inner_text() == other.answer().locator(".prose").inner_text()


def test_what_one_changes_both_have(chat: ChatPage, other: ChatPage, ask: Ask) -> None:
    conversation = ask("Tea", n=2)
    for tab in (chat, other):
        tab.open(conversation)
    # Whichever came first is chosen by itself.
    second = other.answers.filter(has=other.page.get_by_role("button", name="Use this answer"))
    expect(second).to_have_count(1)
    number = str(second.get_attribute("aria-label"))
    chat.page.get_by_role("button", name="Use this answer").click()
    for tab in (chat, other):
        expect(tab.page.get_by_role("article", name=number)).to_contain_text("Goes on from here")
    chat.page.get_by_role("article", name=number).get_by_role("button", name="Bad answer").click()
    for tab in (chat, other):
        thumb = tab.page.get_by_role("article", name=number).get_by_role("button", name="Bad answer")
        expect(thumb).to_have_attribute("aria-pressed", "true")
    other.conversations.get_by_role("button", name="Rename “Tea”").click()
    other.page.get_by_label("Title").fill("Coffee")
    other.page.get_by_role("button", name="Rename", exact=True).click()
    for tab in (chat, other):
        expect(tab.page.get_by_role("heading", level=1)).to_have_text("Coffee")
        expect(tab.conversations.get_by_role("link", name="Coffee")).to_be_visible()
    other.conversations.get_by_role("button", name="Delete “Coffee”").click()
    other.page.get_by_role("button", name="Delete", exact=True).click()
    expect(chat.page.get_by_text("This conversation is not here any more")).to_be_visible()


def test_what_is_deleted_while_it_is_answered_is_answered_no_more(chat: ChatPage, other: ChatPage, up: Up) -> None:
    """And nothing there can be used any more."""
    body = {"model": "demo-drip", "message": {"content": "Hello, I am Bea"}}
    chat.open(up.post("/conversations/", body)["id"])
    expect(chat.stop_button).to_be_visible()
    expect(chat.answer().locator(".prose.is-growing")).to_have_text("Hello")
    other.open()
    other.conversations.get_by_role("button", name="Delete “Hello, I am Bea”").click()
    other.page.get_by_role("button", name="Delete", exact=True).click()
    expect(chat.page.get_by_text("Choose another, or begin a new one.")).to_be_visible()
    expect(chat.answer()).to_have_attribute("aria-busy", "false")
    expect(chat.stop_button).to_be_hidden()
    expect(chat.message).to_be_hidden()
    chat.page.get_by_role("button", name="New conversation").click()
    expect(chat.message).to_be_focused()
