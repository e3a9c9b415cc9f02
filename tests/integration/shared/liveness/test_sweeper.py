"""Taking over from the dead and ending what is too late, with real beats and a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from shared.database.access import Database
from shared.database.models import workers
from shared.liveness import heartbeat as heartbeat_module
from shared.liveness import sweeper as sweeper_module
from shared.liveness.heartbeat import Heartbeat
from shared.liveness.sweeper import OVERDUE_AT_ONCE, Sweeper
from shared.reply_status import ReplyStatus
from shared.store import workers as worker_rows
from shared.store.takeovers import Moved
from tests.fixtures.waiting import eventually
from tests.integration.shared.rows import CAPS, NOW, Tables

pytestmark = pytest.mark.anyio

Start = Callable[[Callable[[list[Moved]], None]], Sweeper]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats follow one another at once, and the sweeper takes each sweep to be half a second after the last."""
    monkeypatch.setattr(heartbeat_module, "BEAT_SECONDS", 0.01)
    seconds = count(step=0.25)  # It looks twice in a sweep.
    monkeypatch.setattr(sweeper_module, "time", SimpleNamespace(monotonic=lambda: next(seconds)))


@pytest.fixture
async def heartbeat(database: Database) -> AsyncIterator[Heartbeat]:
    heartbeat = Heartbeat(database, "api")
    await heartbeat.start()
    yield heartbeat
    await heartbeat.stop()


@pytest.fixture
async def start(database: Database, heartbeat: Heartbeat) -> AsyncIterator[Start]:
    sweepers: list[Sweeper] = []

    def start(on_moved: Callable[[list[Moved]], None]) -> Sweeper:
        sweeper = Sweeper(database, heartbeat, caps=CAPS, on_moved=on_moved)
        sweeper.start()
        sweepers.append(sweeper)
        return sweeper

    yield start
    for sweeper in sweepers:
        await sweeper.stop()


def far_future() -> int:
    """A deadline, in milliseconds from `NOW`, that no clock reaches."""
    return 10**15


async def test_the_replies_of_a_process_whose_beat_stopped_go_back(tables: Tables, start: Start) -> None:
    (reply_id,) = tables.ask(tables.conversation(), deadline_ms=far_future())
    (held,) = tables.claim("worker_dead")
    told: list[Moved] = []
    start(told.extend)
    await eventually(lambda: told)
    assert told == [Moved(reply_id, held.conversation_id, ReplyStatus.QUEUED, token=held.token + 1, lost=1)]
    assert tables.reply(reply_id)["status"] == "queued"
    assert tables.rows(workers, id="worker_dead") == []


async def test_nobody_who_beats_is_taken_for_dead(
    database: Database, heartbeat: Heartbeat, tables: Tables, start: Start
) -> None:
    other = Heartbeat(database, "worker")
    await other.start()
    (reply_id,) = tables.ask(tables.conversation(), deadline_ms=far_future())
    tables.claim(other.process_id)
    start(lambda _: None)
    for _ in range(40):
        # One beat of each, however the machine shares its time out between them.
        await database.write(worker_rows.beat, other.process_id)
        await heartbeat.beat_after(heartbeat.committed)
    assert tables.reply(reply_id)["status"] == "in_progress"
    await other.stop()


async def test_a_process_without_a_row_is_dead_at_once(tables: Tables, start: Start) -> None:
    (reply_id,) = tables.ask(tables.conversation(), deadline_ms=far_future())
    tables.claim("worker_gone")
    tables(worker_rows.remove, "worker_gone")
    told: list[Moved] = []
    start(told.extend)
    await eventually(lambda: told)
    assert [moved.reply_id for moved in told] == [reply_id]


async def test_what_is_past_its_deadline_ends(tables: Tables, start: Start) -> None:
    asked = [reply_id for _ in range(3) for reply_id in tables.asked(n=2)]
    told: list[Moved] = []
    start(told.extend)
    await eventually(lambda: len(told) == len(asked))
    assert {moved.reply_id for moved in told} == set(asked)
    assert {moved.status for moved in told} == {ReplyStatus.FAILED}


async def test_more_than_one_sweeps_worth_of_late_replies_end(tables: Tables, start: Start) -> None:
    conversation_id = tables.conversation()
    for _ in range(OVERDUE_AT_ONCE // 100 + 1):
        tables.ask(conversation_id, n=100, now=NOW)
    told: list[list[Moved]] = []
    start(told.append)
    await eventually(lambda: sum(map(len, told)) == OVERDUE_AT_ONCE + 100)
    assert max(map(len, told)) <= OVERDUE_AT_ONCE


async def test_what_was_moved_is_told_after_the_commit(tables: Tables, start: Start) -> None:
    (reply_id,) = tables.asked()
    seen: list[str] = []
    start(lambda moved: seen.extend(tables.reply(each.reply_id)["status"] for each in moved))
    await eventually(lambda: seen)
    assert seen == [tables.reply(reply_id)["status"]] == ["failed"]


async def test_nothing_is_told_where_nothing_moved(heartbeat: Heartbeat, start: Start) -> None:
    told: list[list[Moved]] = []
    start(told.append)
    await heartbeat.beat_after(heartbeat.committed + 20)
    assert told == []


async def test_several_sweepers_move_a_reply_once(tables: Tables, start: Start) -> None:
    (reply_id,) = tables.ask(tables.conversation(), deadline_ms=far_future())
    tables.claim("worker_dead")
    (late,) = tables.asked()
    told: list[Moved] = []
    for _ in range(3):
        start(told.extend)
    await eventually(lambda: len(told) >= 2)
    await eventually(lambda: tables.rows(workers, id="worker_dead") == [])
    assert sorted(moved.reply_id for moved in told) == sorted([reply_id, late])


async def test_a_sweep_that_the_database_refuses_is_tried_again(
    tables: Tables, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    tables.asked()
    tables(lambda connection: connection.execute(text("alter table replies rename to away")))
    told: list[Moved] = []
    start(told.extend)
    await eventually(lambda: "a sweep was broken off: the database failed: " in caplog.text)
    tables(lambda connection: connection.execute(text("alter table away rename to replies")))
    await eventually(lambda: told)


async def test_a_mistake_in_what_hears_of_it_does_not_end_the_sweeping(
    tables: Tables, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Moved] = []

    def stumble(moved: list[Moved]) -> None:
        told.extend(moved)
        raise ValueError("oops")

    start(stumble)
    tables.asked()
    await eventually(lambda: len(told) == 1)
    tables.asked()
    await eventually(lambda: len(told) == 2)
    assert "a sweep failed" in caplog.text


async def test_it_is_known_how_long_ago_the_last_sweep_was(heartbeat: Heartbeat, start: Start) -> None:
    sweeper = start(lambda _: None)
    await heartbeat.beat_after(heartbeat.committed + 3)
    assert 0 < sweeper.seconds_since_sweep() < 3


async def test_a_sweeper_that_never_started_can_be_stopped(database: Database, heartbeat: Heartbeat) -> None:
    await asyncio.wait_for(Sweeper(database, heartbeat, caps=CAPS, on_moved=lambda _: None).stop(), timeout=10)
