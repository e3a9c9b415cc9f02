"""Upkeep: what has outlived its use is taken out, a little at a time."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from shared import upkeep
from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import conversations, idempotency_keys
from shared.errors import StorageBusy
from shared.ids import new_conversation_id
from shared.store import conversations as conversation_rows
from shared.store import idempotency, turns
from shared.store.idempotency import KeyedRequest
from shared.store.turns import Ask
from shared.upkeep import Upkeep
from tests.fixtures.settings import settings_with
from tests.fixtures.waiting import until

pytestmark = pytest.mark.anyio

LIFETIME_SECONDS = 60


@pytest.fixture
def keeper(database: Database, monkeypatch: pytest.MonkeyPatch) -> Upkeep:
    """One that finds more to do than it does at once, and looks often."""
    monkeypatch.setattr(idempotency, "FORGET_AT_ONCE", 2)
    monkeypatch.setattr(upkeep, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(upkeep, "EVERY_SECONDS", 0.01)
    return Upkeep(database, settings_with(idempotency_seconds=LIFETIME_SECONDS))


async def store_keys(database: Database, count: int, *, seconds_ago: float) -> None:
    for number in range(count):
        request = KeyedRequest("default", f"{seconds_ago}-{number}", "POST", "/", "hash", 1000 * LIFETIME_SECONDS)
        at = now_ms() - int(1000 * seconds_ago)
        await database.write(idempotency.remember, request, resource_type="turn", resource_id="x", now=at)


async def count_keys(database: Database) -> int:
    query = select(func.count()).select_from(idempotency_keys)
    return int(await database.read(lambda connection: connection.execute(query).scalar_one()))


async def test_all_keys_that_are_too_old_go_and_the_others_stay(database: Database, keeper: Upkeep) -> None:
    await store_keys(database, 5, seconds_ago=LIFETIME_SECONDS + 10)
    await store_keys(database, 3, seconds_ago=LIFETIME_SECONDS / 2)
    await keeper.run()
    assert await count_keys(database) == 3
    await keeper.run()
    assert await count_keys(database) == 3


async def test_it_looks_again_and_again_also_after_a_failure(
    database: Database, keeper: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_keys(database, 1, seconds_ago=LIFETIME_SECONDS + 10)
    failures: list[Exception] = [StorageBusy("busy"), RuntimeError("boom")]
    run = keeper.run

    async def run_or_fail() -> None:
        if failures:
            raise failures.pop()
        await run()

    monkeypatch.setattr(keeper, "run", run_or_fail)

    async def is_empty() -> bool:
        return await count_keys(database) == 0

    keeper.start()
    try:
        await until(is_empty)
        await store_keys(database, 1, seconds_ago=LIFETIME_SECONDS + 20)
        await until(is_empty)
    finally:
        await keeper.stop()


async def test_what_was_not_to_be_stored_is_forgotten_once_it_has_ended(database: Database, keeper: Upkeep) -> None:
    old, new = now_ms() - 3_600_000, now_ms()
    made = [("ephemeral", old, None), ("ephemeral", new, None), ("ephemeral", old, "queued"), ("chat", old, None)]
    ids = [await store_conversation(database, kind, at=at, live=live) for kind, at, live in made]
    await keeper.run()
    rows = await database.read(lambda connection: connection.execute(select(conversations.c.id)).scalars().all())
    assert set(rows) == set(ids[1:])


async def store_conversation(database: Database, kind: str, *, at: int, live: str | None) -> str:
    conversation_id = new_conversation_id()
    stamps = {"created_at": at, "updated_at": at}
    row = {"id": conversation_id, "tenant_id": "default", "kind": kind, "parameters": {}, "metadata": {}, **stamps}
    await database.write(conversation_rows.create, row)
    if live:
        asked = Ask("Hello", 1, None, "model", 60_000)
        await database.write(turns.ask, "default", conversation_id, asked=asked, now=at)
    return conversation_id
