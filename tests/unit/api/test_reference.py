"""The API reference is the running server's own document."""

from __future__ import annotations

from pathlib import Path

from api.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference.md"


def test_the_page_is_what_the_document_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "docs/reference.md is stale: run `make reference`"
