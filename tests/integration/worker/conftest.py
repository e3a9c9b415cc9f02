"""One demo model for each file, and a database with somebody to ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.database.access import Database
from tests.fixtures.chats import Chats
from tests.fixtures.demo_process import DemoProcess


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    with DemoProcess.started() as process:
        yield process


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)
