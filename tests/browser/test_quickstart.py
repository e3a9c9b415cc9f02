"""The web page of the quick start, with the backend beside it, in a browser, on a server that asks for keys."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from cli.ports import lasting_ports
from tests.browser.further_gateway import FurtherGateway
from tests.fixtures.pages import programs
from tests.fixtures.up import ROOT, Up
from tests.fixtures.waiting import wait_for

QUICKSTART = ROOT / "docs" / "quickstart.md"


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture
def page_url(up: Up, tmp_path: Path) -> Iterator[str]:
    """Where the page is: a server that lets it in, and the backend, as they are pasted."""
    (port,) = lasting_ports(1)
    url = f"http://127.0.0.1:{port}"
    gateway = FurtherGateway(up, ASYNCCHAT_AUTH="keys", ASYNCCHAT_CORS_ORIGINS=url)
    gateway.start()
    (backend,) = [program for program in programs(QUICKSTART, "python") if "/session" in program]
    (page,) = programs(QUICKSTART, "html")
    backend = backend.replace("3000", str(port)).replace('KEY = "any"', f'KEY = "{gateway.key}"')
    for path, text in (("backend.py", backend), ("index.html", page)):
        (tmp_path / path).write_text(text.replace("http://127.0.0.1:8000", gateway.url), encoding="utf-8")
    environment = {**os.environ, "no_proxy": "*"}
    with subprocess.Popen(
        [sys.executable, "backend.py"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert wait_for(lambda: _listens(port))
            yield url
        finally:
            process.kill()
            gateway.stop()


def test_the_page_shows_the_answers(page_url: str, new_context: Callable[..., BrowserContext]) -> None:
    page = new_context().new_page()
    page.goto(page_url)
    for question, answer in (
        ("Hello, I am Ada", "Hello Ada, nice to meet you!"),
        ("What is my name?", "Your name is Ada."),
    ):
        page.get_by_label("Question").fill(question)
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_role("status")).to_contain_text(answer)
