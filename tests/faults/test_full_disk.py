"""The disk is full for a while. These tests need a small disk of their own, which only root may mount."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import judge
from tests.faults.patience import until
from tests.fixtures.databases import Databases

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]

DISK_BYTES = 32 << 20
# Messages that soon need more room than the files have left of their own.
LONG = "Hello, I am Ada. " * 2_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for the files and for what SQLite notes beside them until it tidies up."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def database_url(databases: Databases, disk: Path) -> str:
    """On that disk."""
    return databases.new(disk)


def _fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


@pytest.mark.quick
async def test_a_full_disk_refuses_asks_and_loses_none_that_was_accepted(
    installation: Installation, client: Client, disk: Path
) -> None:
    await installation.start()
    await client.ask_many(10, turns=2, model="demo-1000ms")
    conversation_id = await client.start(model="demo-fast")

    async def several_are_refused() -> bool:
        return client.turned_away["storage_unavailable"] >= 3

    filler = _fill(disk)
    asking = [asyncio.create_task(client.ask(conversation_id, f"{i}: {LONG}")) for i in range(20)]
    await until(several_are_refused)
    filler.unlink()
    await asyncio.gather(*asking)
    books = await judge(installation, client)
    assert books.statuses == {"completed": 40}
