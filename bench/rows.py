"""Rows for benchmarks, put there by the store's own functions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.installation import LOAD_MODEL, until
from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.ids import new_conversation_id
from shared.liveness.heartbeat import Heartbeat
from shared.reply_status import ReplyStatus
from shared.store import census, claims, conversations, replies, turns
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


async def asked(database: Database, count: int, *, model: str = LOAD_MODEL) -> list[str]:
    """As many conversations, each with one queued reply."""

    async def ask() -> str:
        conversation_id = await new_conversation(database)
        question = Ask("Hello", 1, None, model, 3_600_000)
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
        raise RuntimeError("others took this process for dead, and its replies with it: the figures are void")


async def until_answered(database: Database, *, seconds: float) -> None:
    """Waits until no reply is live any more.

    Raises:
        TimeoutError: some still are.
    """

    async def is_over() -> bool:
        return not any((await database.read(replies.count_live)).values())

    await until(is_over, what="the answers", seconds=seconds)


async def until_running(database: Database, count: int) -> None:
    """Waits until workers hold so many replies."""

    async def they_run() -> bool:
        return (await database.read(replies.count_live))[ReplyStatus.IN_PROGRESS] >= count

    await until(they_run, what=f"{count} replies under way")


@dataclass(frozen=True, slots=True)
class Span:
    """Which try of its reply it was, and when it began and ended, in milliseconds."""

    attempt: int
    started_at: int
    ended_at: int | None


async def spans(database: Database) -> list[Span]:
    """Every try there was."""
    found = await database.read(census.all_attempts)
    return [Span(row["attempt"], row["started_at"], row["ended_at"]) for row in found]
