"""What every test may ask for: a database as the migrations build it, and a real Valkey."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from shared.database.access import Database
from shared.settings import get_settings
from tests.fixtures.databases import CHOSEN, POSTGRESQL, Databases, choose, running_databases
from tests.fixtures.valkey import Valkey, running_valkey

# Before anything opens a database.
choose()
# How long one example takes says how busy the machine is.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.hookimpl(tryfirst=True)  # Before -m chooses by marker.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what uses a database, and leaves out what the chosen kind of database has nothing to do with."""
    other = "sqlite" if CHOSEN == POSTGRESQL else "postgresql"
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker(other)]
    for item in items:
        if "databases" in getattr(item, "fixturenames", ()):
            item.add_marker("database")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the settings of the person who runs it."""
    for name in list(os.environ):
        if name.startswith(("ASYNCCHAT_", "OPENAI_", "OTEL_")) or name in {"DATABASE_URL", "REDIS_URL"}:
            monkeypatch.delenv(name)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Where new databases come from; TEST_DATABASE chooses the kind."""
    with running_databases(tmp_path_factory.mktemp("databases")) as databases:
        yield databases


@pytest.fixture
def database_url(databases: Databases, tmp_path: Path) -> Iterator[str]:
    """A database of the test's own, migrated and empty."""
    url = databases.new(tmp_path)
    yield url
    databases.drop(url)


@pytest.fixture
def empty_database_url(databases: Databases, tmp_path: Path) -> Iterator[str]:
    """A database of the test's own without any table; on SQLite there is not even a file."""
    url = databases.new(tmp_path, migrated=False)
    yield url
    databases.drop(url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same, opened."""
    opened = Database(database_url)
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """One server for all tests that leave it as it is."""
    with running_valkey() as valkey:
        yield valkey


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A server of the test's own, to kill or to freeze."""
    with running_valkey() as valkey:
        yield valkey
