"""One installation with three workers for all tests here. Each test leaves it as it found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers.installation import Installation

WORKERS = 3


@pytest.fixture(scope="session")
def _built() -> Iterator[Installation]:
    installation = Installation()
    try:
        installation.compose("build")
        installation.up(workers=WORKERS)
        yield installation
    finally:
        installation.compose("down", "--volumes", "--timeout", "1", check=False)
        installation.http.close()


@pytest.fixture
def installation(_built: Installation) -> Iterator[Installation]:
    yield _built
    _built.up(workers=WORKERS)  # Starts what the test stopped.
