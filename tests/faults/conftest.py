"""An installation of the test's own, and a client of it."""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.valkey import Valkey

HERE = Path(__file__).parent
# It ends a test that hangs; a row takes a minute, and several where the machine has too much to do.
TIMEOUT_SECONDS = 900


@pytest.hookimpl(tryfirst=True)  # Before -m chooses by marker.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is about faults."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("faults")
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.fixture
def chance(seed: int) -> random.Random:
    """Chance that can be repeated; a failing test shows its seed."""
    print(f"seed {seed}")  # noqa: T201  For whoever reads why a test failed.
    return random.Random(seed)


@pytest.fixture
def demo() -> Iterator[DemoProcess]:
    """A model of the test's own, since its counts are judged."""
    with DemoProcess.started() as process:
        yield process


@pytest.fixture
def installation(database_url: str, valkey: Valkey, demo: DemoProcess, tmp_path: Path) -> Iterator[Installation]:
    """Without any gateway or worker so far."""
    made = Installation(tmp_path, database_url=database_url, redis_url=valkey.url, demo=demo)
    yield made
    made.stop()


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[Client]:
    """Of all gateways of the installation."""
    async with Client(installation.urls) as client:
        yield client


def _may_mount() -> bool:
    """Whether a test can have a small disk of its own."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=65536", "tmpfs", folder]
        try:
            mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        except OSError:
            return False
        if mounted:
            subprocess.run(["umount", folder], check=True)
        return mounted


# Elsewhere these tests are no part of the suite.
collect_ignore = [] if _may_mount() else ["test_full_disk.py"]
