"""Gateways of other settings: one that asks for a key, and one that offers several models."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.chat_page import ChatPage
from tests.browser.further_gateway import FurtherGateway
from tests.fixtures.up import Up

SETTINGS = {
    "ASYNCCHAT_AUTH": "keys",
    "ASYNCCHAT_MODEL": "demo-fast",
    "ASYNCCHAT_MODELS": "demo-echo",
    "ASYNCCHAT_MAX_CONTENT_CHARS": "1000",
}


@pytest.fixture(scope="module")
def gateway(up: Up) -> Iterator[FurtherGateway]:
    made = FurtherGateway(up, **SETTINGS)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def locked_chat(
    gateway: FurtherGateway, new_context: Callable[..., BrowserContext], new_tab: Callable[..., ChatPage]
) -> ChatPage:
    """A tab of which nothing is known yet."""
    chat = new_tab(new_context(), gateway.url)
    chat.page.goto(gateway.url)
    return chat


def test_a_key_is_asked_for_kept_and_forgotten(
    locked_chat: ChatPage, gateway: FurtherGateway, new_tab: Callable[..., ChatPage]
) -> None:
    chat, key = locked_chat, gateway.key
    chat.give_key("ak_wrong")
    chat.give_key(key, dialog="This key was refused")
    chat.say("Hello, I am Grace")
    chat.finished("nice to meet you")
    chat.page.reload()
    chat.finished("nice to meet you")
    # It was kept for this tab alone.
    other = new_tab(chat.page.context, gateway.url)
    other.page.goto(gateway.url)
    expect(other.page.get_by_role("dialog", name="This server asks for a key")).to_be_visible()

    chat.page.get_by_role("button", name="Forget key").click()
    chat.page.get_by_label("Remember it on this device").check()
    chat.give_key(key)
    chat.finished("nice to meet you")
    other.page.reload()
    expect(other.conversations.get_by_role("link", name="Hello, I am Grace")).to_be_visible()


def test_of_several_models_one_is_chosen(locked_chat: ChatPage, gateway: FurtherGateway) -> None:
    locked_chat.give_key(gateway.key)
    locked_chat.page.get_by_role("combobox", name="Model").select_option("demo-echo")
    locked_chat.say("What is 1 + 1?")
    locked_chat.finished("What is 1 + 1?")
    expect(locked_chat.page.get_by_role("combobox", name="Model")).to_have_value("demo-echo")


def test_what_is_refused_is_not_lost(locked_chat: ChatPage, gateway: FurtherGateway) -> None:
    locked_chat.give_key(gateway.key)
    locked_chat.say("long " * 400)
    expect(locked_chat.page.get_by_role("alert")).to_contain_text("at most 1000 characters")
    expect(locked_chat.message).to_have_value(("long " * 400).strip())
