"""Asks of several gateways at the same moment, each with a database connection of its own."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import OperationalError

from shared.database.access import Database
from shared.database.engine import open_engine, parse_url
from shared.database.models import DEFAULT_TENANT, conversations
from shared.store import turns
from shared.store.turns import Ask, Where
from tests.fixtures.waiting import until
from tests.integration.shared.rows import NOW, Tables

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]

HELLO = Ask("Hello", 1, None, "m", 60_000)
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


@pytest.mark.parametrize("count", [2, 9, 70])
async def test_conversations_are_locked_in_one_order_whatever_they_are_asked_in(
    count: int, database: Database, database_url: str, tables: Tables
) -> None:
    """Or two gateways would wait for each other, a quarter of a second long, and then make all asks by themselves."""
    ids = sorted(tables.conversation() for _ in range(count))
    asks = [(Where(DEFAULT_TENANT, each), HELLO) for each in reversed(ids)]

    def lock(connection: Connection, conversation_id: str) -> None:
        connection.execute(
            select(conversations.c.id).where(conversations.c.id == conversation_id).with_for_update(nowait=True)
        )

    async def waits() -> bool:
        return bool(await database.read(lambda connection: connection.execute(WAITING).scalar_one()))

    with closing(open_engine(parse_url(database_url), read_only=False).connect()) as other:
        lock(other, ids[-1])
        asking = asyncio.create_task(database.write(turns.ask_many, asks, now=NOW))
        await until(waits)
        with (
            open_engine(parse_url(database_url), read_only=False).connect() as third,
            pytest.raises(OperationalError, match="could not obtain lock"),
        ):
            lock(third, ids[0])
        other.rollback()
        assert [turn and turn.conversation_id for turn in await asking] == [where.conversation_id for where, _ in asks]
