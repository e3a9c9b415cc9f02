"""What `asyncchat health` says of a gateway and of a worker."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from cli import health
from cli.health import Unhealthy, check_api, check_worker
from cli.readiness import Readiness
from shared.clock import now_ms
from shared.database.access import Database
from shared.liveness.heartbeat import Heartbeat
from shared.settings import get_settings
from shared.store import workers

HERE = socket.gethostname()


@pytest.fixture(autouse=True)
def _settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(health, "BEAT_BOUND_SECONDS", 0.3)
    monkeypatch.setattr(health, "LOOK_AGAIN_SECONDS", 0.05)
    get_settings.cache_clear()


def _gateway_says(readiness: Readiness | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ask_readiness", lambda _host, _port: readiness)


def test_a_gateway_that_sweeps_is_healthy_also_without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    _gateway_says(Readiness(0, redis_answers=False, seconds_since_sweep=1.2), monkeypatch)
    assert check_api() == "The gateway is ready and swept 1.2 s ago."


def test_a_gateway_that_stopped_sweeping_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    _gateway_says(Readiness(1, redis_answers=True, seconds_since_sweep=60), monkeypatch)
    with pytest.raises(Unhealthy, match="has not swept for 60 s"):
        check_api()


def test_a_gateway_that_is_not_ready_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    _gateway_says(None, monkeypatch)
    with pytest.raises(Unhealthy, match="no gateway is ready on port 8000"):
        check_api()


@pytest.mark.anyio
async def test_a_worker_whose_beat_moves_is_healthy(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "BEAT_BOUND_SECONDS", 30)
    monkeypatch.setattr("shared.liveness.heartbeat.BEAT_SECONDS", 0.1)
    heartbeat = Heartbeat(database, "worker")
    await heartbeat.start()
    try:
        assert await asyncio.to_thread(check_worker) == f"{heartbeat.process_id} beats."
    finally:
        await heartbeat.stop()


@pytest.mark.anyio
async def test_a_worker_whose_beat_stands_still_is_not_healthy(database: Database) -> None:
    await database.write(workers.register, "worker_still", host=HERE, now=now_ms())
    with pytest.raises(Unhealthy, match=r"no beat of worker_still in 0\.3 s"):
        await asyncio.to_thread(check_worker)


@pytest.mark.anyio
async def test_gateways_and_other_machines_do_not_count(database: Database) -> None:
    await database.write(workers.register, "api_here", host=HERE, now=now_ms())
    await database.write(workers.register, "worker_there", host="elsewhere", now=now_ms())
    with pytest.raises(Unhealthy, match="no beat of any worker on this machine"):
        await asyncio.to_thread(check_worker)


def test_a_database_that_is_not_there_is_not_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/none/at/all.db")
    get_settings.cache_clear()
    with pytest.raises(Unhealthy, match="cannot read the workers' beats"):
        check_worker()
