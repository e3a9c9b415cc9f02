"""A process whose machine has a wrong clock, on a database whose server has its own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from shared import clock
from shared.clock import TOLERATED_MS, now_ms
from shared.database.access import Database
from shared.database.models import workers
from shared.liveness import heartbeat as heartbeat_module
from shared.liveness.heartbeat import Heartbeat
from shared.liveness.sweeper import Sweeper
from shared.store import workers as worker_rows
from shared.store.takeovers import Moved
from tests.fixtures.waiting import eventually
from tests.integration.shared.rows import CAPS, Tables

pytestmark = pytest.mark.anyio

HOUR_SECONDS = 3600
HOUR = 1000 * HOUR_SECONDS
MINUTE = 60_000

by_an_hour = pytest.mark.parametrize("wrong_by", [HOUR_SECONDS, -HOUR_SECONDS], ids=["ahead", "behind"])


def true_ms() -> int:
    """What the server's clock shows; it runs on this machine."""
    return time.time_ns() // 1_000_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats follow one another at once, and no other test goes by what was measured here."""
    monkeypatch.setattr(heartbeat_module, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(clock, "_offset_ms", 0)


def set_clock(monkeypatch: pytest.MonkeyPatch, *, wrong_by: float) -> None:
    """The clock of this process."""
    shift = int(wrong_by * 1e9)
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + shift))


@asynccontextmanager
async def sweeping(database: Database, told: list[Moved]) -> AsyncIterator[Heartbeat]:
    """A process that beats and sweeps for the block."""
    heartbeat = Heartbeat(database, "api")
    await heartbeat.start()
    sweeper = Sweeper(database, heartbeat, caps=CAPS, on_moved=told.extend)
    sweeper.start()
    yield heartbeat
    await sweeper.stop()
    await heartbeat.stop()


@pytest.mark.postgresql
@by_an_hour
async def test_a_process_goes_by_the_servers_clock_from_its_start(
    wrong_by: float, database: Database, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, wrong_by=wrong_by)
    async with sweeping(database, []) as heartbeat:
        (row,) = tables.rows(workers, id=heartbeat.process_id)
        assert abs(row["started_at"] - true_ms()) < MINUTE
        assert abs(now_ms() - true_ms()) < MINUTE


@pytest.mark.postgresql
@by_an_hour
async def test_a_process_goes_by_the_servers_clock_when_its_own_is_set(
    wrong_by: float, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sweeping(database, []) as heartbeat:
        set_clock(monkeypatch, wrong_by=wrong_by)
        # The first of these may have measured before.
        await heartbeat.beat_after(heartbeat.committed + 1)
        assert abs(now_ms() - true_ms()) < MINUTE


@pytest.mark.postgresql
@by_an_hour
async def test_no_reply_of_others_is_ended_early_or_left_lying(
    wrong_by: float, database: Database, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever this process believes, what is late is what the server's clock says."""
    (late,) = tables.ask(tables.conversation(), now=true_ms() - MINUTE, deadline_ms=MINUTE - 1)
    (waiting,) = tables.ask(tables.conversation(), now=true_ms(), deadline_ms=HOUR // 2)
    told: list[Moved] = []
    set_clock(monkeypatch, wrong_by=wrong_by)
    async with sweeping(database, told) as heartbeat:
        await eventually(lambda: told)
        await heartbeat.beat_after(heartbeat.committed + 5)
    assert [moved.reply_id for moved in told] == [late]
    row = tables.reply(waiting)
    assert (row["status"], row["deadline_at"] - row["created_at"]) == ("queued", HOUR // 2)
    (claim,) = tables.claim(now=now_ms())
    assert claim.reply_id == waiting


@pytest.mark.postgresql
async def test_a_clock_that_cannot_be_measured_is_left_for_the_next_beat(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two looks at the own clock so much time passed that either might be meant."""
    shown = iter([10**12, 10**12 + TOLERATED_MS + 1])
    monkeypatch.setattr(worker_rows, "own_ms", lambda: next(shown))
    assert await database.read(worker_rows.clock_offset_ms) is None


@pytest.mark.sqlite
async def test_a_file_has_no_clock_of_its_own(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, wrong_by=HOUR_SECONDS)
    assert await database.read(worker_rows.clock_offset_ms) == 0
    async with sweeping(database, []):
        assert abs(now_ms() - true_ms() - HOUR) < MINUTE


async def test_what_was_asked_for_before_the_clock_was_set_back_is_due_again(
    database: Database, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    (reply_id,) = tables.ask(tables.conversation(), now=true_ms() + HOUR, deadline_ms=10 * MINUTE)
    async with sweeping(database, []):
        await eventually(lambda: tables.reply(reply_id)["available_at"] <= true_ms())
    row = tables.reply(reply_id)
    assert (row["status"], row["deadline_at"] - row["created_at"]) == ("queued", 10 * MINUTE)
    assert abs(row["created_at"] - true_ms()) < MINUTE
    assert "the clock was set back" in caplog.text
    (claim,) = tables.claim(now=now_ms())
    assert claim.reply_id == reply_id


async def test_what_is_only_a_little_ahead_is_left_as_it_is(
    database: Database, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    """Clocks of several machines differ by so much, and it is due soon anyway."""
    at = true_ms() + MINUTE // 2
    (reply_id,) = tables.ask(tables.conversation(), now=at)
    async with sweeping(database, []) as heartbeat:
        await heartbeat.beat_after(heartbeat.committed + 3)
    assert tables.reply(reply_id)["available_at"] == at
    assert "set back" not in caplog.text
