"""What keeps somebody from using a page."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def serious_of(page: Page) -> list[tuple[str, Any]]:
    """What axe finds that keeps somebody from using the page."""
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
    return [
        (violation["id"], [node["html"] for node in violation["nodes"]])
        for violation in found.response["violations"]
        if violation["impact"] in {"serious", "critical"}
    ]
