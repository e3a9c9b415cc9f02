"""The promises of the store after every step, on walks that take minutes; `make test` goes on shorter ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.databases import CHOSEN, POSTGRESQL
from tests.integration.shared.rows import Tables, opened_tables
from tests.integration.shared.store.state_machine import RARE, USUAL, walk

# A minute or two each. Much is read after every step, which takes longer where it comes from a server.
WALKS = 100 if CHOSEN == POSTGRESQL else 300

# A failure is made short before it is shown.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def tables(database_url: str) -> Iterator[Tables]:
    with opened_tables(database_url) as tables:
        yield tables


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_every_promise_holds_after_every_step(seed: int, tables: Tables) -> None:
    outcomes = walk(tables, walks=WALKS, chance=seed)
    # Walks that get nowhere prove nothing.
    assert outcomes.keys() >= USUAL
    assert len(RARE & outcomes.keys()) >= 3
