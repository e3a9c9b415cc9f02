"""While a process loads its code nothing looks for garbage, and afterwards it is not looked at again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from shared.interpreter import keep_what_is_loaded, loading


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    """Collects as before, whatever a test froze."""
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_looked_at_while_loading_and_what_was_loaded_never() -> None:
    before = gc.get_freeze_count()
    with loading():
        assert not gc.isenabled()
        loaded: list[list[int]] = [[] for _ in range(100)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(loaded)


def test_a_load_that_fails_leaves_collecting_on() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()


def test_what_is_kept_is_not_looked_at_again() -> None:
    before = gc.get_freeze_count()
    held: list[list[int]] = [[] for _ in range(100)]
    keep_what_is_loaded()
    assert gc.get_freeze_count() >= before + len(held)
