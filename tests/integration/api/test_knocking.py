"""A gateway that knocks at a worker before it rings: here the worker has no Celery, so that no bell reaches it."""

from __future__ import annotations

import pytest

from shared.liveness import heartbeat
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import eventually, until
from tests.fixtures.workers import running_worker
from tests.integration.api.gateway import Gateway
from worker import slots

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quick_beats_and_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateway and worker know each other soon, and only a knock can bring the worker."""
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(slots, "TICK_SECONDS", 3600.0)


async def test_a_lone_message_is_answered_by_a_worker_that_was_knocked_at(
    gateway: Gateway, database_url: str, shared_valkey: Valkey
) -> None:
    with (
        DemoProcess.started() as demo,
        running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url) as worker,
    ):
        await eventually(lambda: gateway.resources.sweeper.living("worker") and worker._notices.is_connected)
        turn = await gateway.ask(await gateway.new_conversation(), model="demo-fast")

        async def is_answered() -> bool:
            (reply,) = (await gateway.get(f"/conversations/{turn['conversation_id']}/turns/{turn['turn']}/"))["replies"]
            return bool(reply["status"] == "completed")

        await until(is_answered)
