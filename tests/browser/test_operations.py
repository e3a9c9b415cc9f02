"""The operations page: what an operator sees, and does about it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.accessibility import serious_of
from tests.browser.chat_page import ChatPage
from tests.browser.further_gateway import FurtherGateway
from tests.fixtures.up import Up

Ask = Callable[..., str]
Shoot = Callable[[ChatPage, str], None]
FAILED = "Failed replies"


@pytest.fixture
def locked(up: Up) -> Iterator[FurtherGateway]:
    made = FurtherGateway(up, ASYNCCHAT_AUTH="keys")
    made.start()
    yield made
    made.stop()


def test_a_failed_reply_is_seen_with_its_attempts_and_tried_again(chat: ChatPage, ask: Ask) -> None:
    page = chat.page
    failed = ask("Hello", model="demo-fail-401")[-8:]
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("heading", level=1, name="Operations")).to_be_visible()
    card = page.get_by_role("list", name=FAILED).locator(".card").filter(has_text=failed)
    expect(card).to_contain_text("invalid api key")
    expect(page.get_by_role("figure").filter(has_text="Failures")).to_contain_text("invalid api key")
    card.get_by_text("1 try").click()
    expect(card.locator(".attempts li")).to_have_count(1)
    expect(card.locator(".attempts")).to_contain_text("asked default, demo-fail-401: invalid api key.")
    card.get_by_role("button", name="Retry").click()
    # It fails again; what was unfolded stays so.
    expect(card.locator(".attempts li")).to_have_count(2)
    expect(card.get_by_role("button", name="Retry")).to_be_enabled()


def test_a_reply_is_seen_under_way_and_cancelled(chat: ChatPage, up: Up) -> None:
    made = up.post("/conversations/", {"model": "demo-drip", "message": {"content": "Hello"}})
    chat.page.goto(f"{up.url}/ops")
    card = chat.page.get_by_role("list", name="Under way").locator(".card").filter(has_text=made["id"][-8:])
    expect(card).to_contain_text("Is being answered for")
    card.get_by_role("button", name="Cancel").click()
    expect(card).to_have_count(0)
    assert up.get(f"/replies/?conversation_id={made['id']}")["data"][0]["status"] == "cancelled"


def test_a_worker_that_died_and_a_server_that_is_away_are_seen(chat: ChatPage, up: Up) -> None:
    page = chat.page
    page.goto(f"{up.url}/ops")
    processes = page.get_by_role("list", name="Workers and gateways")
    worker = next(each["id"] for each in up.get("/workers/")["data"] if each["role"] == "worker")
    card = processes.locator(".card").filter(has_text=worker[-8:])
    expect(card).to_contain_text("Beats")
    os.kill(up.children()["worker"], signal.SIGKILL)
    # The beat stands still; then it is taken for dead, and another one is there.
    expect(card.locator(".is-bad")).to_be_visible()
    expect(card).to_contain_text("Gone")
    page.route("**/*", lambda route: route.abort())
    expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
    expect(card).to_be_visible()
    page.unroute_all()
    expect(page.get_by_text("The server cannot be reached.")).to_be_hidden()


def test_it_asks_for_the_key_of_an_admin(
    locked: FurtherGateway, new_context: Callable[..., BrowserContext], new_tab: Callable[..., ChatPage]
) -> None:
    tab = new_tab(new_context(), locked.url)
    tab.page.goto(f"{locked.url}/ops")
    tab.give_key(locked.key)
    expect(tab.page.get_by_role("dialog")).to_contain_text("has not the scope `admin`")
    tab.give_key(locked.make_key("--scope", "admin"), dialog="This key was refused")
    expect(tab.page.get_by_role("list", name="Workers and gateways").locator(".card").first).to_be_visible()
    expect(tab.page.get_by_role("button", name="Forget key")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    scheme: str, ask: Ask, new_context: Callable[..., BrowserContext], new_tab: Callable[..., ChatPage], shoot: Shoot
) -> None:
    ask("Hello, I am Ada", n=3)
    ask("Hello", model="demo-fail-401")
    # Its scripts are put into the page, which the page's policy would forbid.
    tab = new_tab(new_context(color_scheme=scheme, bypass_csp=True))
    tab.page.goto(f"{tab.url}/ops")
    expect(tab.page.locator("canvas")).to_have_count(4)
    tab.page.get_by_role("list", name=FAILED).locator("summary").first.click()
    shoot(tab, f"operations-{scheme}")
    assert serious_of(tab.page) == []
    tab.page.set_viewport_size({"width": 390, "height": 780})
    tab.page.wait_for_function("document.querySelector('canvas').getBoundingClientRect().right < innerWidth")
    shoot(tab, f"operations-phone-{scheme}")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
