"""Somebody at a prompt, or a backup, keeps a SQLite file locked for longer than anybody waits for it."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import judge
from tests.faults.patience import until

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]

_HOLD = """
import sys
from shared.database.engine import sqlite_module
connection = sqlite_module().connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


@contextmanager
def _locked(database_url: str) -> Iterator[None]:
    """For the block, another process has the file for itself."""
    command = [sys.executable, "-c", _HOLD, database_url.removeprefix("sqlite:///")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.communicate()


@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.quick), 2, 3])
async def test_a_lock_of_ten_seconds_delays_everything_and_kills_nobody(
    installation: Installation, client: Client, *, chance: random.Random
) -> None:
    """Until the first asks are refused, which takes ten seconds."""
    await installation.start()
    await client.ask_many(10, turns=2, model=f"demo-{chance.randint(100, 1500)}ms")
    conversation_id = await client.start(model="demo-fast")

    async def one_is_refused() -> bool:
        return client.turned_away.total() > 0

    with _locked(installation.database_url):
        asking = [asyncio.create_task(client.ask(conversation_id, f"Hello, I am Ada {i}")) for i in range(5)]
        await until(one_is_refused)
    await asyncio.gather(*asking)
    assert set(client.turned_away) <= {"storage_busy", "storage_unavailable"}
    books = await judge(installation, client)
    assert set(books.outcomes) == {"completed"}
    assert await installation.worker_count() == 2
    assert "took over" not in "".join(member.said for member in (*installation.gateways, *installation.workers))
