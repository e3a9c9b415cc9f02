"""The processes of an installation, as an operator sees them."""

from __future__ import annotations

import pytest

from shared.clock import now_ms
from shared.database.access import Database
from shared.store import workers
from tests.fixtures.waiting import until
from tests.integration.api.gateway import Gateway, PlayedWorker

pytestmark = pytest.mark.anyio


async def test_each_worker_and_gateway_is_shown_with_what_it_holds(
    gateway: Gateway, worker: PlayedWorker, database: Database
) -> None:
    await database.write(workers.register, "worker_b", host="elsewhere", now=now_ms(), slots=7)
    await gateway.ask(await gateway.new_conversation(), n=3)
    await worker.claim()
    shown = {each["id"]: each for each in (await gateway.get("/workers/"))["data"]}
    own = shown.pop(gateway.resources.heartbeat.process_id)
    assert (own["role"], own["slots"], own["live_replies"], own["is_beating"]) == ("api", None, 0, True)
    idle = shown.pop("worker_b")
    assert (idle["role"], idle["host"], idle["slots"], idle["live_replies"]) == ("worker", "elsewhere", 7, 0)
    (busy,) = shown.values()
    assert (busy["host"], busy["live_replies"]) == ("test", 3)


async def test_a_beat_that_stands_still_is_told(gateway: Gateway, database: Database) -> None:
    await database.write(workers.register, "worker_b", host="elsewhere", now=now_ms())

    async def stands_still() -> bool:
        shown = {each["id"]: each for each in (await gateway.get("/workers/"))["data"]}
        own = shown[gateway.resources.heartbeat.process_id]
        return bool(own["is_beating"] and not shown["worker_b"]["is_beating"])

    await until(stands_still)
