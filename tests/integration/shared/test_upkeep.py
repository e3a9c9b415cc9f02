"""Upkeep: what has outlived its use is taken out, a little at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select

from shared import upkeep
from shared.clock import DAY_MS, now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT, conversations, idempotency_keys, webhook_deliveries
from shared.eraser import Eraser
from shared.errors import StorageUnavailable
from shared.ids import first_delivery_id, new_conversation_id, new_webhook_id
from shared.messaging.notices import Notifier
from shared.search_indexer import index_all
from shared.store import conversations as conversation_rows
from shared.store import erasure_receipts, erasures, idempotency, search_index, space, turns, webhook_endpoints
from shared.store.idempotency import KeyedRequest
from shared.store.turns import Ask, Said
from shared.upkeep import Upkeep
from tests.fixtures.settings import settings_with
from tests.fixtures.valkey import Valkey

pytestmark = pytest.mark.anyio

LIFETIME_SECONDS = 60


@pytest.fixture
async def eraser(database: Database, shared_valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Eraser]:
    monkeypatch.setattr(erasures, "CONVERSATIONS_AT_ONCE", 2)
    monkeypatch.setattr("shared.eraser.PAUSE_SECONDS", 0.0)
    async with Redis.from_url(shared_valkey.client_url) as redis:
        yield Eraser(database, redis, Notifier(redis), log_seconds=60)


@pytest.fixture
def keeper(database: Database, eraser: Eraser, monkeypatch: pytest.MonkeyPatch) -> Upkeep:
    """One that finds more to do than it does at once."""
    monkeypatch.setattr(idempotency, "FORGET_AT_ONCE", 2)
    monkeypatch.setattr(upkeep, "PAUSE_SECONDS", 0.0)
    return Upkeep(database, eraser, settings_with(idempotency_seconds=LIFETIME_SECONDS, retention_days=30))


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


async def test_what_was_not_to_be_stored_is_forgotten_once_it_has_ended(database: Database, keeper: Upkeep) -> None:
    old, new = now_ms() - 3_600_000, now_ms()
    made = [("ephemeral", old, None), ("ephemeral", new, None), ("ephemeral", old, "queued"), ("chat", old, None)]
    ids = [await store_conversation(database, kind, at=at, live=live) for kind, at, live in made]
    await keeper.run()
    assert await conversations_left(database) == set(ids[1:])


async def test_what_has_not_changed_for_as_long_as_things_are_kept_is_erased(
    database: Database, keeper: Upkeep
) -> None:
    old, new = now_ms() - 31 * DAY_MS, now_ms() - 29 * DAY_MS
    for tenant_id in ("default", "other"):
        for _ in range(5):
            await store_conversation(database, "chat", at=old, tenant_id=tenant_id)
    kept = {await store_conversation(database, "chat", at=new), await store_conversation(database, "chat", at=now_ms())}
    await keeper.run()
    assert await conversations_left(database) == kept


async def test_what_fails_keeps_nothing_else_from_being_done(
    database: Database, keeper: Upkeep, eraser: Eraser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explode(**_: object) -> None:
        raise StorageUnavailable("an erasure that fails each time")

    monkeypatch.setattr(eraser, "finish_left_behind", explode)
    await store_keys(database, 3, seconds_ago=LIFETIME_SECONDS + 10)
    with pytest.raises(StorageUnavailable, match="each time"):
        await keeper.run()
    assert await count_keys(database) == 0


@pytest.mark.sqlite
async def test_the_index_of_search_forgets_what_was_erased(database: Database, keeper: Upkeep) -> None:
    conversation_id = await store_conversation(database, "chat", at=now_ms())
    said = [Said("gone tomorrow")]
    await database.write(turns.append, DEFAULT_TENANT, conversation_id, said=said, now=now_ms())
    await index_all(database)
    await database.write(erasures.erase_one, DEFAULT_TENANT, conversation_id)
    assert await database.read(search_index.removals)
    await keeper.run()
    assert not await database.read(search_index.removals)


async def test_without_a_time_to_keep_things_everything_is_kept(database: Database, eraser: Eraser) -> None:
    kept = await store_conversation(database, "chat", at=1)
    await Upkeep(database, eraser, settings_with()).run()
    assert await conversations_left(database) == {kept}


async def test_what_a_dead_gateway_left_half_erased_is_erased(
    database: Database, keeper: Upkeep, eraser: Eraser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await store_conversation(database, "chat", at=now_ms(), end_user="ada", live="queued")
    receipt = await database.write(erasure_receipts.begin, "default", "ada", now=now_ms())

    def die(_name: str) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("shared.eraser.crash_point", die)
        with pytest.raises(SystemExit):
            await eraser.finish(receipt["id"])
    assert len(await conversations_left(database)) == 3
    monkeypatch.setattr(upkeep, "LEFT_BEHIND_MS", -1)
    await keeper.run()
    assert await conversations_left(database) == set()
    row = await database.read(erasure_receipts.get, "default", receipt["id"])
    assert (row["erased"]["conversations"], row["finished_at"] is not None) == (5, True)
    assert row["logs_expire_at"] is not None, "nobody knows whether the dead one erased them"


@pytest.mark.sqlite
async def test_a_file_becomes_smaller_when_much_is_erased_and_the_log_is_emptied(
    database: Database, keeper: Upkeep, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "WORTH_IT_PAGES", 20)
    monkeypatch.setattr(space, "PAGES_AT_ONCE", 100)
    monkeypatch.setattr(upkeep, "LOG_BYTES", 0)
    word = "Unmistakable-"
    for _ in range(5):
        await store_conversation(database, "chat", at=1, said=word * 10_000)
    assert await database.checkpoint()
    before = content_of(database_url)
    assert word.encode() in before
    await keeper.run()
    after = content_of(database_url)
    assert len(after) < len(before) / 2
    assert database.log_bytes() == 0
    assert word.encode() * 2 not in after


def content_of(database_url: str) -> bytes:
    return Path(database_url.removeprefix("sqlite:///")).read_bytes()


async def conversations_left(database: Database) -> set[str]:
    query = select(conversations.c.id)
    return set(await database.read(lambda connection: connection.execute(query).scalars().all()))


async def store_conversation(
    database: Database, kind: str, *, at: int, live: str | None = None, said: str | None = None, **values: Any
) -> str:
    conversation_id = new_conversation_id()
    stamps = {"created_at": at, "updated_at": at}
    row = {"tenant_id": "default", "kind": kind, "parameters": {}, "metadata": {}, **stamps, **values}
    await database.write(conversation_rows.create, {"id": conversation_id, **row})
    if said:
        await database.write(turns.append, row["tenant_id"], conversation_id, said=[Said(said)], now=at)
    if live:
        asked = Ask("Hello", 1, None, "model", 60_000)
        await database.write(turns.ask, "default", conversation_id, asked=asked, now=at)
    return conversation_id


async def test_deliveries_are_kept_for_so_long(
    database: Database, eraser: Eraser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "DELIVERIES_AT_ONCE", 2)
    monkeypatch.setattr(upkeep, "PAUSE_SECONDS", 0.0)
    now = now_ms()
    endpoint: dict[str, Any] = {
        "id": new_webhook_id(),
        "tenant_id": DEFAULT_TENANT,
        "url": "https://receiver.example/",
        "events": [],
        "secret": "whsec_",
        "enabled": True,
        "created_at": now,
        "updated_at": now,
    }
    await database.write(webhook_endpoints.add, endpoint)
    rows = [
        {
            "id": first_delivery_id(at + number),
            "tenant_id": DEFAULT_TENANT,
            "endpoint_id": endpoint["id"],
            "event": "webhook.test",
            "payload": "{}",
            "status": "delivered",
            "available_at": at,
            "created_at": at,
        }
        for at in (now - 120_000, now - 30_000)
        for number in range(5)
    ]
    await database.write(lambda connection: connection.execute(webhook_deliveries.insert(), rows))
    await Upkeep(database, eraser, settings_with(webhook_seconds=60)).run()
    kept = await database.read(lambda connection: connection.execute(select(webhook_deliveries.c.id)).scalars().all())
    assert sorted(kept) == [row["id"] for row in rows[5:]]
