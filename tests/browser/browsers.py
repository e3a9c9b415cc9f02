"""The browser of this machine, since Playwright's own would have to be fetched."""

from __future__ import annotations

import os
import shutil
import sys

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# Nothing but the pages under test is to be fetched, and containers have no sandbox of their own to give.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def find_browser() -> str | None:
    """Where Chromium is, or None."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


def why_without() -> str | None:
    """Why these tests cannot run here, or None. CI on Linux has to have a browser."""
    if find_browser() or ("CI" in os.environ and sys.platform == "linux"):
        return None
    return "there is no Chromium (on Debian and Ubuntu: apt-get install chromium)"
