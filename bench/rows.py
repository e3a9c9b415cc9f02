"""Rows for benchmarks, put there by the store's own functions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.ids import new_conversation_id
from shared.liveness.heartbeat import Heartbeat
from shared.store import claims, conversations, turns
from shared.store.claims import Claim
from shared.store.turns import Ask

# A write that waits for longer than ten seconds is refused.
AT_ONCE = 500


async def new_conversation(database: Database) -> str:
    """Its id."""
    now = now_ms()
    row = {
        "id": new_conversation_id(),
        "tenant_id": DEFAULT_TENANT,
        "parameters": {},
        "metadata": {},
        "created_at": now,
        "updated_at": now,
    }
    await database.write(conversations.create, row)
    return str(row["id"])


async def asked(database: Database, count: int) -> list[str]:
    """As many conversations, each with one queued reply."""

    async def ask() -> str:
        conversation_id = await new_conversation(database)
        question = Ask("Hello", 1, None, "demo-load", 3_600_000)
        await database.write(turns.ask, DEFAULT_TENANT, conversation_id, asked=question, now=now_ms())
        return conversation_id

    conversation_ids: list[str] = []
    while len(conversation_ids) < count:
        conversation_ids += await asyncio.gather(*(ask() for _ in range(min(AT_ONCE, count - len(conversation_ids)))))
    return conversation_ids


@asynccontextmanager
async def claimed_replies(database: Database, count: int) -> AsyncIterator[list[Claim]]:
    """As many conversations, each with one reply that this process holds, and beats for, during the block."""
    await asked(database, count)
    gone = asyncio.Event()
    heartbeat = Heartbeat(database, "worker", on_gone=gone.set)
    await heartbeat.start()
    held: list[Claim] = []
    for start in range(0, count, AT_ONCE):
        limit = min(AT_ONCE, count - start)
        held += await database.write(claims.claim, heartbeat.process_id, limit=limit, now=now_ms())
    yield held
    await heartbeat.stop()
    if gone.is_set():
        sys.exit("others took this process for dead, and its replies with it: the figures are void")
