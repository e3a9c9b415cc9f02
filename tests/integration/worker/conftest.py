"""One demo model for each file, a database with somebody to ask, and what the worker does by itself or does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from shared.database.access import Database
from shared.liveness import heartbeat
from tests.fixtures.chats import Chats
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.valkey import Valkey
from tests.integration.worker.asking import NEVER, Asking
from tests.integration.worker.hooks import Hooks
from worker import deliveries, slots


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    with DemoProcess.started() as process:
        yield process


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)


@pytest.fixture
def no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not look by itself while the test runs."""
    monkeypatch.setattr(slots, "TICK_SECONDS", NEVER)


@pytest.fixture
def no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not look at what it holds: only the word of somebody can stop it."""
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", NEVER)


@pytest.fixture
def quick_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has come is stored almost at once, so that a test can see it."""
    monkeypatch.setattr(slots, "TICK_SECONDS", 0.02)


@pytest.fixture
async def asking(database: Database, shared_valkey: Valkey) -> AsyncIterator[Asking]:
    async with Redis.from_url(shared_valkey.client_url) as redis:
        yield Asking(database, redis)


@pytest.fixture
def hooks(database: Database) -> Hooks:
    return Hooks(database)


@pytest.fixture
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails has failed."""
    monkeypatch.setattr(deliveries, "PAUSES_SECONDS", ())


@pytest.fixture
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is tried again after a moment, three times."""
    monkeypatch.setattr(deliveries, "PAUSES_SECONDS", (0.01, 0.01, 0.01))
