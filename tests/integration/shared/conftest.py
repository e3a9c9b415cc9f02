"""Tables that check, at the end of every test, that no reply ever made a move it may not make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.shared.rows import Tables, opened_tables


@pytest.fixture
def tables(database_url: str) -> Iterator[Tables]:
    with opened_tables(database_url) as tables:
        yield tables
