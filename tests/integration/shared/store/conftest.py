"""What many tests of the store begin with."""

from __future__ import annotations

import pytest

from shared.store import moves
from shared.store.claims import Claim
from tests.integration.shared.rows import Tables


@pytest.fixture
def claim(tables: Tables) -> Claim:
    """A reply that worker_a holds, with a beginning of its answer."""
    claim = tables.running()
    tables(moves.save_partial, claim, "The an")
    return claim
