"""Where the server asks for a key, so does the page."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx2
import pytest
from playwright.sync_api import BrowserContext, expect

from cli.child_commands import child_python_path, python_module
from cli.embedded_valkey import EmbeddedValkey
from cli.ports import lasting_ports
from tests.browser.chat_page import ChatPage
from tests.fixtures.up import START_SECONDS, Up, wait_for


class Locked(NamedTuple):
    """A gateway that asks for keys, and a key."""

    url: str
    key: str


@pytest.fixture
def locked(up: Up) -> Iterator[Locked]:
    """One more gateway of the same installation."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ASYNCCHAT_")},
        "PYTHONPATH": child_python_path(),
        "DATABASE_URL": f"sqlite:///{up.data}/asyncchat.db",
        "REDIS_URL": EmbeddedValkey.in_directory(up.data / "valkey").redis_url,
        "ASYNCCHAT_AUTH": "keys",
    }
    command = python_module("cli", "keys", "create")
    made = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    (port,) = lasting_ports(1)
    gateway = subprocess.Popen(python_module("cli", "api", "--port", str(port)), env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        assert wait_for(lambda: _answers(url), START_SECONDS)
        yield Locked(url, made.stdout.strip())
    finally:
        gateway.kill()
        gateway.wait()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def test_a_key_is_asked_for_kept_and_forgotten(
    locked: Locked, new_context: Callable[..., BrowserContext], new_tab: Callable[..., ChatPage]
) -> None:
    chat = new_tab(new_context(), locked.url)
    chat.page.goto(locked.url)
    dialog = chat.page.get_by_role("dialog", name="This server asks for a key")
    dialog.get_by_label("API key").fill("ak_wrong")
    dialog.get_by_role("button", name="Use this key").click()
    refused = chat.page.get_by_role("dialog", name="This key was refused")
    refused.get_by_label("API key").fill(locked.key)
    refused.get_by_role("button", name="Use this key").click()
    expect(refused).to_be_hidden()
    chat.say("Hello, I am Ada")
    chat.finished("nice to meet you")

    chat.page.reload()
    chat.finished("nice to meet you")
    # It was kept for this tab alone.
    other = new_tab(chat.page.context, locked.url)
    other.page.goto(locked.url)
    expect(other.page.get_by_role("dialog", name="This server asks for a key")).to_be_visible()

    chat.page.get_by_role("button", name="Forget key").click()
    expect(dialog).to_be_visible()
    dialog.get_by_label("API key").fill(locked.key)
    dialog.get_by_label("Remember it on this device").check()
    dialog.get_by_role("button", name="Use this key").click()
    chat.finished("nice to meet you")
    other.page.reload()
    expect(other.conversations.get_by_role("link", name="Hello, I am Ada")).to_be_visible()
