"""Every process is replaced, one after the other, while people talk: a deploy that nobody notices."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.faults.asking import Client, load
from tests.faults.installation import Installation
from tests.faults.judging import judge

pytestmark = pytest.mark.anyio

# Each replacement starts before the process that it replaces is told to stop.
DRAIN_SECONDS = {"enough": "25", "too few": "0.2"}


@pytest.mark.parametrize("drain", [pytest.param("enough", marks=pytest.mark.quick), "too few"])
async def test_a_rolling_restart_loses_nothing_fails_nothing_and_spends_no_tries(
    drain: str, installation: Installation, client: Client
) -> None:
    settings = {"ASYNCCHAT_DRAIN_SECONDS": DRAIN_SECONDS[drain]}
    for _ in range(2):
        installation.add_gateway(environment=settings)
        installation.add_worker(environment=settings)
    await installation.ready()
    async with load(client, conversations=12, model="demo-500ms"):
        for old in [*installation.workers]:
            installation.add_worker(environment=settings)
            await installation.ready()
            assert await asyncio.to_thread(old.terminate) == 0
        for old in [*installation.gateways]:
            installation.add_gateway(environment=settings)
            await installation.ready()
            # Its server ends itself by the signal once it has stopped in good order.
            assert await asyncio.to_thread(old.terminate) in {0, -signal.SIGTERM}
            installation.urls.remove(old.url)
    books = await judge(installation, client)
    assert set(books.statuses) == {"completed"}
    assert {row["tries"] for row in books.replies} == {1}
    assert {row["model_calls"] for row in books.replies} == {1}
    assert set(books.outcomes) <= {"completed", "handed_back"}
    if drain == "enough":
        assert "handed_back" not in books.outcomes
    for member in (*installation.gateways, *installation.workers):
        assert "Traceback" not in member.said, member.name
