"""Whatever order gateways, workers, deaths and clocks come in, the promises hold after every step."""

from __future__ import annotations

import os

import pytest

from tests.fixtures.databases import CHOSEN, POSTGRESQL
from tests.integration.shared.rows import Tables
from tests.integration.shared.store.state_machine import USUAL, walk

# About half a minute each; tests/faults goes on longer ones, and lets this go on until it meets a mutant.
WALKS = int(os.environ.get("TEST_WALKS", "60" if CHOSEN == POSTGRESQL else "120"))

# A failure is made short before it is shown.
pytestmark = pytest.mark.timeout(900)


def test_every_promise_holds_after_every_step(tables: Tables) -> None:
    outcomes = walk(tables, walks=WALKS, chance=1)
    # Walks that get nowhere prove nothing.
    assert len(USUAL - outcomes.keys()) <= 3
