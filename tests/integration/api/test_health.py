"""Alive, ready, degraded, unready."""

from __future__ import annotations

import pytest

from api.services import health
from shared.database.access import Database
from tests.fixtures.valkey import Valkey
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway

pytestmark = pytest.mark.anyio


async def test_a_gateway_with_all_it_leans_on_is_ready(gateway: Gateway, worker: PlayedWorker) -> None:
    del worker  # It has signed on.
    assert (await gateway.client.get("/healthz")).json() == {"status": "ok"}
    ready = await gateway.get("/readyz")
    assert ready["status"] == "ready"
    assert (ready["database"], ready["redis"], ready["publisher"]) == ("ok", "ok", "ok")
    assert ready["sweeper"]["seconds_since_sweep"] >= 0
    assert ready["workers"] == 1


@pytest.mark.sqlite
async def test_a_gateway_says_which_sqlite_it_has_and_how_that_journals(gateway: Gateway) -> None:
    assert (await gateway.get("/readyz"))["sqlite"]["journal_mode"] in {"wal", "truncate"}


@pytest.mark.parametrize("how", ["absent", "frozen"])
async def test_without_redis_it_is_degraded_and_does_all_it_should(
    environment: pytest.MonkeyPatch, valkey: Valkey, database: Database, how: str
) -> None:
    del database
    environment.setenv("REDIS_URL", valkey.url)
    async with running_gateway() as gateway:
        if how == "absent":
            valkey.kill()
            answer = await gateway.client.get("/readyz")
        else:
            with valkey.frozen():
                answer = await gateway.client.get("/readyz")
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["redis"]) == ("degraded", "down")
        await gateway.ask(await gateway.new_conversation())


async def test_where_nothing_can_be_written_it_is_unready(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each beat is a write, and each sweep follows one: a locked database or a full disk shows there."""
    monkeypatch.setattr(health, "WRITES_FAIL_SECONDS", 0.0)
    answer = await gateway.client.get("/readyz")
    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["database"]) == ("unready", "down")


async def test_a_database_that_does_not_answer_in_time_counts_as_down(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.0)
    answer = await gateway.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["workers"] is None
