"""The web page of the quick start, with the backend beside it, in a browser."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from cli.ports import free_port
from tests.fixtures.pages import programs
from tests.fixtures.up import ROOT, Up, wait_for

QUICKSTART = ROOT / "docs" / "quickstart.md"


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture
def page_url() -> Iterator[str]:
    """Where the page is: a server that lets it in, and the backend, as they are pasted."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="up-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        up = Up(folder, environment={"ASYNCCHAT_CORS_ORIGINS": f"http://{address}"})
        try:
            up.wait_until_ready()
            (backend,) = [program for program in programs(QUICKSTART, "python") if "/session" in program]
            (page,) = programs(QUICKSTART, "html")
            for path, text in (("backend.py", backend.replace("3000", str(port))), ("index.html", page)):
                (folder / path).write_text(text.replace("127.0.0.1:8000", up.url.removeprefix("http://")))
            with subprocess.Popen(
                [sys.executable, "backend.py"],
                cwd=folder,
                env={**os.environ, "no_proxy": "*"},
                stderr=subprocess.DEVNULL,
            ) as process:
                try:
                    assert wait_for(lambda: _listens(port))
                    yield f"http://{address}"
                finally:
                    process.kill()
        finally:
            up.close()


def test_the_page_shows_the_answer(page_url: str, new_context: Callable[..., BrowserContext]) -> None:
    page = new_context().new_page()
    page.goto(page_url)
    page.get_by_label("Question").fill("Hello, I am Ada")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("status")).to_contain_text("Hello Ada, nice to meet you!")
    page.get_by_label("Question").fill("What is my name?")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("status")).to_have_text("Your name is Ada. This is our second exchange.")
