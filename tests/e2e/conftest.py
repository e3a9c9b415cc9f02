"""Starting `asyncchat up` in a folder of the test's own, and leaving nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cli.local_model import find_weights
from shared.errors import SettingsError
from tests.fixtures.up import StartUp, Up, live_processes
from tests.fixtures.waiting import wait_for


def _has_local_model() -> bool:
    try:
        find_weights()
    except SettingsError:
        return False
    return True


# An extra of ninety megabytes: where it is not installed its tests are no part of the suite.
collect_ignore = [] if _has_local_model() else ["test_local_model.py"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, as a home directory has: Valkey's socket is inside."""
    with tempfile.TemporaryDirectory(prefix="up-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


@pytest.fixture
def start_up(folder: Path) -> Iterator[StartUp]:
    started: list[Up] = []

    def start(*arguments: str, environment: Mapping[str, str] | None = None) -> Up:
        up = Up(folder, *arguments, environment=environment)
        started.append(up)
        return up

    yield start
    children = [pid for up in started for pid in up.children().values()]
    for up in started:
        up.close()
    assert wait_for(lambda: not set(children) & set(live_processes())), "no test may leave processes behind"
