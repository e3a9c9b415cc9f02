"""Workers that claim at the same moment, each with a database connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import Table, select

from shared.database.access import Database
from shared.database.engine import open_engine, parse_url
from shared.database.models import conversations as conversation_table
from shared.database.models import replies
from shared.reply_status import ReplyStatus
from shared.store import claims, moves, search_index
from shared.store.claims import Claim
from tests.integration.shared.rows import COMPLETED, NOW, Tables

pytestmark = pytest.mark.anyio

WORKERS = 3
CONVERSATIONS, CANDIDATES = 10, 2


@contextmanager
def opened(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.start()
    try:
        yield database
    finally:
        database.stop()


async def claim_on(database: Database, worker_id: str, *, ends: bool, total: int, taken: list[Claim]) -> None:
    """Claims a few at a time until all workers together have had as many as there are."""
    while len(taken) < total:
        held = await database.write(claims.claim, worker_id, limit=3, now=NOW)
        taken += held
        if ends:
            await asyncio.gather(*(database.write(moves.finish, claim, COMPLETED, now=NOW) for claim in held))


@pytest.mark.parametrize("ends", [False, True])
async def test_every_reply_is_claimed_and_none_twice(
    ends: bool,  # noqa: FBT001  A parameter of the test.
    database_url: str,
    tables: Tables,
) -> None:
    """With ends, each turn is over before the next, and claims meet ends in the same conversations."""
    turns = [tables.conversation() for _ in range(CONVERSATIONS)] * (2 if ends else 1)
    reply_ids = sorted(reply_id for turn in turns for reply_id in tables.ask(turn, n=CANDIDATES))
    taken: list[Claim] = []
    with ExitStack() as stack:
        databases = [stack.enter_context(opened(database_url)) for _ in range(WORKERS)]
        working = [
            claim_on(database, tables.worker(f"worker_{number}"), ends=ends, total=len(reply_ids), taken=taken)
            for number, database in enumerate(databases)
        ]
        await asyncio.wait_for(asyncio.gather(*working), 60)
    assert sorted(claim.reply_id for claim in taken) == reply_ids
    statuses = {tables.reply(reply_id)["status"] for reply_id in reply_ids}
    assert statuses == {ReplyStatus.COMPLETED if ends else ReplyStatus.IN_PROGRESS}


@pytest.mark.postgresql
@pytest.mark.parametrize("held", [conversation_table, replies])
async def test_a_claim_waits_for_nobody_and_leaves_what_others_hold(
    held: Table, database_url: str, tables: Tables
) -> None:
    """Who ends a reply locks its conversation first; a claim that waited for that with the reply locked would be stuck
    with it for as long as PostgreSQL needs to see a deadlock."""
    conversation_id = tables.conversation()
    (reply_id,) = tables.ask(conversation_id)
    (free,) = tables.asked()
    tables.worker()
    with opened(database_url) as database, open_engine(parse_url(database_url), read_only=False).connect() as other:
        other.execute(select(held).where(held.c.id.in_([conversation_id, reply_id])).with_for_update())
        (claim,) = await asyncio.wait_for(database.write(claims.claim, "worker_a", limit=9, now=NOW), 30)
        assert claim.reply_id == free
        other.rollback()
        (claim,) = await database.write(claims.claim, "worker_a", limit=9, now=NOW)
        assert claim.reply_id == reply_id


@pytest.mark.postgresql
async def test_a_claim_takes_what_others_only_refer_to(database_url: str, tables: Tables) -> None:
    """What is indexed belongs to its conversation, which must not vanish meanwhile: that is no reason to be left."""
    (reply_id,) = tables.asked()
    tables.worker()
    with opened(database_url) as database, open_engine(parse_url(database_url), read_only=False).connect() as other:
        assert search_index.index_some(other)
        (claim,) = await asyncio.wait_for(database.write(claims.claim, "worker_a", limit=9, now=NOW), 30)
        assert claim.reply_id == reply_id
        other.rollback()
