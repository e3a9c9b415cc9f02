"""Databases in every mode that a writer may find them in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.database.engine import prepare_sqlite
from tests.integration.shared.database.bench import Bench
from tests.integration.shared.database.journal import MODES, use_journal_mode


@pytest.fixture(params=MODES)
def bench(request: pytest.FixtureRequest, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    use_journal_mode(request.param, monkeypatch)
    path = Path(database_url.removeprefix("sqlite:///"))
    prepare_sqlite(path)
    bench = Bench(path, request.param)
    bench.writer.start()
    yield bench
    assert bench.writer.is_alive
    bench.writer.stop()
    assert not bench.writer.is_alive
    bench.lock.close()
