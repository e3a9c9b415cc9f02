"""What people do to a last turn at the same moment as somebody asks for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from shared.database.access import Database
from shared.database.engine import open_engine, parse_url
from shared.database.models import DEFAULT_TENANT
from shared.ending import Ending
from shared.errors import NotLastTurn
from shared.reply_status import ReplyStatus
from shared.store import candidates, moves, turns
from shared.store.candidates import Again
from shared.store.turns import Ask
from tests.fixtures.waiting import eventually
from tests.integration.shared.rows import COMPLETED, MINUTE, NOW, Tables

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]

_WAITING = text("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")


def choose(connection: Connection, reply_id: str) -> None:
    candidates.choose(connection, DEFAULT_TENANT, reply_id, now=NOW)


def retry(connection: Connection, reply_id: str) -> None:
    candidates.retry(connection, DEFAULT_TENANT, reply_id, deadline_ms=MINUTE, now=NOW)


def regenerate(connection: Connection, reply_id: str) -> None:
    candidates.regenerate(connection, DEFAULT_TENANT, reply_id, again=Again(MINUTE), now=NOW)


@pytest.mark.parametrize(
    ("change", "ending"),
    [(choose, COMPLETED), (regenerate, COMPLETED), (retry, Ending(ReplyStatus.FAILED))],
    ids=["choose", "regenerate", "retry"],
)
async def test_whoever_comes_second_learns_that_the_conversation_has_gone_on(
    change: Callable[[Connection, str], Any], ending: Ending, database_url: str, database: Database, tables: Tables
) -> None:
    """Both would have found that the turn was the last one."""
    claim = tables.running()
    tables(moves.finish, claim, ending, now=NOW)
    asked = Ask("And then?", 1, None, "model", MINUTE)
    with open_engine(parse_url(database_url), read_only=False).connect() as other:
        turns.ask(other, DEFAULT_TENANT, claim.conversation_id, asked=asked, now=NOW)
        second = asyncio.ensure_future(database.write(change, claim.reply_id))
        await eventually(lambda: second.done() or tables(lambda connection: connection.scalar(_WAITING)))
        assert not second.done()
        other.commit()
    with pytest.raises(NotLastTurn):
        await second
