"""A process's sign of life, and what ends it when it can give none."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from shared.database import writer
from shared.database.access import Database
from shared.errors import StorageBusy
from shared.ids import is_id
from shared.liveness import heartbeat as heartbeat_module
from shared.liveness.heartbeat import EXIT_STUCK, Heartbeat, Watchdog
from shared.store import workers
from tests.fixtures.locking import locked_against_writing, lose_patience_soon
from tests.fixtures.waiting import BOUND_SECONDS, eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_module, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat_module, "LOOK_SECONDS", 0.1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for it before the database."""
    lose_patience_soon(monkeypatch, seconds=0.05)


@pytest.fixture
async def heartbeat(database: Database) -> AsyncIterator[Heartbeat]:
    heartbeat = await _started(database)
    yield heartbeat
    await heartbeat.stop()


async def _started(database: Database) -> Heartbeat:
    """One that has signed on, however long that takes: nobody who is impatient is so about that."""
    heartbeat = Heartbeat(database, "worker")
    with pytest.MonkeyPatch.context() as patient:
        patient.setattr(writer, "BEGIN_WITHIN_SECONDS", BOUND_SECONDS)
        await heartbeat.start()
    return heartbeat


async def test_a_process_registers_under_an_id_of_its_role(database: Database, heartbeat: Heartbeat) -> None:
    assert is_id("worker", heartbeat.process_id)
    assert list(await database.read(workers.beats)) == [heartbeat.process_id]


async def test_beats_go_on(database: Database, heartbeat: Heartbeat) -> None:
    seen = await heartbeat.beat_after(heartbeat.committed + 2)
    assert (await database.read(workers.beats))[heartbeat.process_id] >= seen


async def test_whoever_waits_for_a_beat_hears_of_the_next_one(heartbeat: Heartbeat) -> None:
    waiting = [asyncio.ensure_future(heartbeat.beat_after(heartbeat.committed)) for _ in range(3)]
    assert len(set(await asyncio.gather(*waiting))) == 1


async def test_signing_off_takes_the_row_out(database: Database) -> None:
    heartbeat = Heartbeat(database, "api")
    await heartbeat.start()
    await heartbeat.stop()
    assert await database.read(workers.beats) == {}


async def test_a_process_that_was_taken_for_dead_goes_on_under_a_new_id(database: Database) -> None:
    told: list[str] = []
    beating = Heartbeat(database, "worker", on_gone=lambda: told.append(beating.process_id))
    await beating.start()
    old = beating.process_id
    await database.write(workers.remove, old)
    await eventually(lambda: beating.process_id != old)
    await beating.beat_after(beating.committed)
    assert told == [beating.process_id]
    assert list(await database.read(workers.beats)) == [beating.process_id]
    await beating.stop()


@pytest.mark.usefixtures("impatient")
async def test_a_locked_database_stops_the_beats_and_nothing_else(
    database_url: str, heartbeat: Heartbeat, caplog: pytest.LogCaptureFixture
) -> None:
    await heartbeat.beat_after(0)
    old = heartbeat.process_id
    with locked_against_writing(database_url):
        await eventually(lambda: caplog.text.count("a beat was not stored") >= 2)
        before = heartbeat.committed
        await eventually(lambda: caplog.text.count("a beat was not stored") >= 4)
        assert heartbeat.committed == before
    await heartbeat.beat_after(before)
    assert heartbeat.process_id == old


@pytest.mark.usefixtures("impatient")
async def test_a_process_cannot_start_on_a_locked_database(database_url: str, database: Database) -> None:
    with locked_against_writing(database_url), pytest.raises(StorageBusy):
        await Heartbeat(database, "worker").start()


@pytest.mark.usefixtures("impatient")
async def test_signing_off_from_a_locked_database_is_left_to_the_others(
    database_url: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    heartbeat = await _started(database)
    with locked_against_writing(database_url):
        await heartbeat.stop()
    assert "could not sign off" in caplog.text


async def test_a_mistake_in_what_hears_of_the_end_does_not_end_the_beats(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def stumble() -> None:
        told.append(beating.process_id)
        if len(told) == 1:
            raise ValueError("oops")

    beating = Heartbeat(database, "worker", on_gone=stumble)
    await beating.start()
    await database.write(workers.remove, beating.process_id)
    await eventually(lambda: len(told) == 2)
    await beating.beat_after(beating.committed)
    assert "a beat failed" in caplog.text
    await beating.stop()


async def test_a_watchdog_ends_when_it_is_told_to() -> None:
    watchdog = Watchdog(asyncio.get_running_loop())
    watchdog.start()
    watchdog.stop()
    await eventually(lambda: not watchdog._thread.is_alive())


def test_a_watchdog_ends_with_its_loop() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    watchdog = Watchdog(loop)
    watchdog.start()
    watchdog._thread.join()


def run(what: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.integration.shared.liveness.stuck_process", what]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def test_a_process_whose_loop_is_stuck_ends_and_tells_where() -> None:
    with run("stuck") as process:
        _, said = process.communicate()
    assert process.returncode == EXIT_STUCK
    assert b"in stuck\n" in said


def test_a_process_that_is_stuck_in_logging_ends_too() -> None:
    """Nobody reads its standard error, so that it cannot even say that it ends."""
    with run("logging") as process:
        assert process.wait() == EXIT_STUCK


def test_a_process_whose_loop_turns_is_left_alone() -> None:
    with run("turning") as process:
        _, said = process.communicate()
    assert (process.returncode, said) == (0, b"")
