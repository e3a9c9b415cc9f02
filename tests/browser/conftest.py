"""A browser, a running installation for it, and tabs that fail the test when the page reports an error."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.browsers import ARGUMENTS, find_browser, why_without
from tests.browser.chat_page import ChatPage
from tests.fixtures.up import ROOT, Up

_REASON = why_without()
collect_ignore_glob = ["test_*.py"] if _REASON else []
# For whoever looks at what a run has seen; not in git.
SCREENSHOTS = ROOT / "build" / "screenshots"
# Far more than anything takes: a worker that died is missed after six seconds, and another one has to start.
PATIENCE_MS = 45_000
DESKTOP = {"width": 1200, "height": 800}
# What the browser itself says of requests that a test lets fail on purpose.
_OF_THE_NETWORK = "Failed to load resource"

NewChat = Callable[..., ChatPage]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what is no part of the suite here, and why."""
    if _REASON:
        terminalreporter.write_line(f"left out: tests/browser, since {_REASON}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a file: while it is there, this thread's event loop runs, and no other test can run one."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def up() -> Iterator[Up]:
    """Everything on this machine, with the demo model."""
    with tempfile.TemporaryDirectory(prefix="up-", ignore_cleanup_errors=True) as folder:
        running = Up(Path(folder).resolve())
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browser profiles, each with storage of its own. Options are those of Playwright."""
    made: list[BrowserContext] = []

    def new(**options: object) -> BrowserContext:
        context = browser.new_context(**{"viewport": DESKTOP, **options})  # type: ignore[arg-type]  # Playwright's own
        context.set_default_timeout(PATIENCE_MS)
        made.append(context)
        return context

    yield new
    for context in made:
        context.close()


@pytest.fixture
def new_tab(up: Up) -> Iterator[Callable[..., ChatPage]]:
    """Makes tabs of a profile. At the end none of them may have reported an error, or asked for something elsewhere."""
    told: list[str] = []

    def new(context: BrowserContext, url: str | None = None) -> ChatPage:
        page = context.new_page()
        _report(page, url or up.url, told)
        return ChatPage(page, url or up.url)

    yield new
    assert told == []


def _report(page: Page, url: str, told: list[str]) -> None:
    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_OF_THE_NETWORK):
            told.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(url) else told.append(request.url))


@pytest.fixture
def chat(new_context: Callable[..., BrowserContext], new_tab: Callable[..., ChatPage]) -> ChatPage:
    """A tab with an empty conversation."""
    return new_tab(new_context()).open()


@pytest.fixture
def shoot() -> Callable[[ChatPage, str], None]:
    """Keeps a picture of what is in sight."""

    def keep(chat: ChatPage, name: str) -> None:
        chat.page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")

    return keep


@pytest.fixture
def ask(up: Up) -> Callable[..., str]:
    """Makes a conversation with a first question and waits for what came of it; its id."""

    def asked(content: str, *, model: str = "demo-fast", **body: object) -> str:
        made = up.post("/conversations/?wait=30", {"model": model, "message": {"content": content, **body}})
        return str(made["id"])

    return asked
