"""A gateway on a database and a Valkey, and a worker to play."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from shared.database.access import Database
from tests.fixtures.valkey import Valkey
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway
from tests.integration.api.key_making import Keys
from tests.integration.api.streaming import ServedGateway, StreamingWorker, serving_gateway, streaming_worker


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A gateway sets up the log of its process; a test's process is pytest's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, database_url: str, shared_valkey: Valkey) -> pytest.MonkeyPatch:
    """The settings of the gateway under test; a test may add to them before it asks for the gateway."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", shared_valkey.url)
    return monkeypatch


@pytest.fixture
async def gateway(environment: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:  # noqa: ARG001  Its settings.
    """A gateway for the test."""
    async with running_gateway() as running:
        yield running


@pytest.fixture
async def worker(database: Database, shared_valkey: Valkey) -> AsyncIterator[PlayedWorker]:
    """A worker beside it, with a database connection and a Redis connection of its own."""
    async with Redis.from_url(shared_valkey.client_url) as redis:
        played = PlayedWorker(database, redis)
        await played.start()
        yield played


@pytest.fixture
async def streams(environment: pytest.MonkeyPatch) -> AsyncIterator[ServedGateway]:  # noqa: ARG001  Its settings.
    """A gateway for the test on a port of its own, since a stream needs a connection."""
    async with serving_gateway() as running:
        yield running


@pytest.fixture
async def other(streams: ServedGateway) -> AsyncIterator[ServedGateway]:  # noqa: ARG001  The first one.
    """A second gateway on the same database and Redis."""
    async with serving_gateway() as running:
        yield running


@pytest.fixture
async def speaking(database: Database, shared_valkey: Valkey) -> AsyncIterator[StreamingWorker]:
    """A worker beside them that says what the test lets it say."""
    async with streaming_worker(database, shared_valkey.client_url) as worker:
        yield worker


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


@pytest.fixture
async def locked(environment: pytest.MonkeyPatch, keys: Keys) -> AsyncIterator[Gateway]:
    """A gateway that asks for keys; somebody has one."""
    await keys.make("somebody")
    environment.setenv("ASYNCCHAT_AUTH", "keys")
    async with running_gateway() as running:
        yield running


@pytest.fixture
async def redis(shared_valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(shared_valkey.client_url) as client:
        yield client
