"""Reads that are wanted in the same moment share a trip; each still has its own answer, and its own mistake."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest
from sqlalchemy import Connection, literal, select, text

from shared.database.access import Database
from shared.errors import StorageUnavailable
from worker.joint_reads import AT_ONCE, JointReads

pytestmark = pytest.mark.anyio


def echo(connection: Connection, value: int, *, seen: set[int] | None = None) -> int:
    if seen is not None:
        seen.add(id(connection.get_transaction()))
    return int(connection.execute(select(literal(value))).scalar_one())


def err(_connection: Connection) -> NoReturn:
    raise KeyError("mine")


def fail(connection: Connection) -> None:
    connection.execute(text("select * from nothing"))


async def test_each_gets_its_own_answer_and_those_of_one_moment_share_a_transaction(database: Database) -> None:
    reads, seen = JointReads(database), set[int]()
    count = AT_ONCE
    assert await asyncio.gather(*(reads.read(echo, n, seen=seen) for n in range(count))) == list(range(count))
    assert len(seen) == 1


async def test_more_than_one_trip_takes_go_in_several(database: Database) -> None:
    reads = JointReads(database)
    count = 2 * AT_ONCE + 1
    assert await asyncio.gather(*(reads.read(echo, n) for n in range(count))) == list(range(count))


async def test_the_mistake_of_one_is_its_own(database: Database) -> None:
    reads = JointReads(database)
    mistaken, answered = await asyncio.gather(reads.read(err), reads.read(echo, 7), return_exceptions=True)
    assert isinstance(mistaken, KeyError)
    assert answered == 7


async def test_a_failure_of_the_database_is_told_to_all_and_the_next_reads_work(database: Database) -> None:
    reads = JointReads(database)
    failed = await asyncio.gather(reads.read(fail), reads.read(echo, 7), return_exceptions=True)
    assert [type(each) for each in failed] == [StorageUnavailable, StorageUnavailable]
    assert await reads.read(echo, 8) == 8


async def test_whoever_is_cancelled_harms_nobody(database: Database) -> None:
    reads = JointReads(database)
    gone, stays = (asyncio.create_task(reads.read(echo, n)) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 2
