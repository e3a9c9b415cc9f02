"""An endpoint that is deleted at the very moment in which a reply ends, or another worker looks for deliveries."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from shared.database.access import Database
from shared.database.engine import open_engine, parse_url
from shared.database.models import DEFAULT_TENANT, webhook_deliveries
from shared.reply_status import ReplyStatus
from shared.store import delivery_claims, moves, webhook_endpoints
from shared.store import webhook_deliveries as deliveries
from tests.fixtures.waiting import eventually
from tests.integration.shared.rows import COMPLETED, NOW, Tables

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]

_WAITING = text("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")


async def test_an_endpoint_that_is_being_deleted_ends_no_reply_badly(
    database_url: str, database: Database, tables: Tables
) -> None:
    """Its row is still there when it is looked for, and gone when the delivery is to refer to it."""
    claim, endpoint_id = tables.running(), tables.listen()
    with open_engine(parse_url(database_url), read_only=False).connect() as other:
        assert webhook_endpoints.remove(other, DEFAULT_TENANT, endpoint_id)
        end = asyncio.ensure_future(database.write(moves.finish, claim, COMPLETED, now=NOW))
        await eventually(lambda: end.done() or tables(lambda connection: connection.scalar(_WAITING)))
        other.commit()
    assert await end is ReplyStatus.COMPLETED
    assert tables.count(webhook_deliveries) == 0


async def test_a_claim_does_not_wait_for_another(database_url: str, database: Database, tables: Tables) -> None:
    tables.worker("worker_a")
    tables.worker("worker_b")
    endpoint_id = tables.listen()
    for _ in range(3):
        tables(deliveries.add_test, DEFAULT_TENANT, endpoint_id, now=NOW)
    rooms = {endpoint_id: 2}
    with open_engine(parse_url(database_url), read_only=False).connect() as other:
        first = delivery_claims.claim(other, "worker_a", rooms=rooms, now=NOW)
        second = await database.write(delivery_claims.claim, "worker_b", rooms=rooms, now=NOW)
        other.commit()
    assert (len(first), len(second)) == (2, 1)
    assert not {delivery.id for delivery in first} & {delivery.id for delivery in second}
