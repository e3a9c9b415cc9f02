"""Fills a database: `python -m bench.seed --conversations N --messages M DATABASE_URL`.

Conversations that are over, one begun each minute up to now, rows by the thousand with Core, in a transaction each:
what was said, the answers, their replies and tries, and what they have used, as the store would have left them. The
triggers note down each message for the search index as always; unless `--searchable` is given these notes are thrown
away, since indexing millions keeps a gateway busy for hours.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, delete, insert

from shared.clock import day_of, now_ms
from shared.database.engine import open_engine, parse_url, prepare_sqlite, sqlite_path
from shared.database.models import (
    DEFAULT_TENANT,
    attempts,
    conversations,
    messages,
    replies,
    search_pending,
    usage_days,
)
from shared.database.schema import migrate
from shared.ids import answer_id, first_reply_id
from shared.reply_status import AttemptOutcome, ReplyStatus

ROWS_AT_ONCE = 10_000
WORDS = tuple(
    "the answer is that a queue holds what a worker takes when it is free and the model streams tokens to whoever "  # noqa: SIM905
    "listens while the database keeps every message turn conversation budget index trigger and reply".split()
)
WORDS_A_MESSAGE = 20
MINUTE_MS = 60_000
# So many that each comes back now and then, and no two conversations of one on a day.
END_USERS = 50_000

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of some conversations, by their tables."""

    conversations: list[Values] = field(default_factory=list)
    messages: list[Values] = field(default_factory=list)
    replies: list[Values] = field(default_factory=list)
    attempts: list[Values] = field(default_factory=list)
    usage: list[Values] = field(default_factory=list)

    def rows(self) -> int:
        """How many there are."""
        return sum(len(rows) for _, rows in self.by_table())

    def by_table(self) -> list[tuple[Table, list[Values]]]:
        """In an order in which they can be stored."""
        tables = (conversations, messages, replies, attempts, usage_days)
        return list(
            zip(tables, (self.conversations, self.messages, self.replies, self.attempts, self.usage), strict=True)
        )


def seed(
    connection: Connection,
    *,
    conversations: int,
    messages: int,
    tenant_id: str = DEFAULT_TENANT,
    searchable: bool = False,
    on_batch: Callable[[int], object] = lambda _rows: None,
) -> list[str]:
    """Makes so many conversations that have so many messages between them; returns the ids of the conversations.

    Commits as it goes; `on_batch` hears how many rows each transaction stored.
    """
    ids: list[str] = []
    for batch in _batches(conversations, messages, tenant_id):
        with connection.begin():
            _store(connection, batch, searchable=searchable)
        ids += [row["id"] for row in batch.conversations]
        on_batch(batch.rows())
    return ids


def _store(connection: Connection, batch: Batch, *, searchable: bool) -> None:
    for table, rows in batch.by_table():
        if rows:
            connection.execute(insert(table), rows)
    if not searchable:
        first, last = batch.conversations[0]["id"], batch.conversations[-1]["id"]
        connection.execute(delete(search_pending).where(search_pending.c.conversation_id.between(first, last)))


def _batches(count: int, messages: int, tenant_id: str) -> Iterator[Batch]:
    """The first conversation is the one that changed longest ago, the last one has changed just now."""
    each, more = divmod(messages, count)
    now = now_ms()
    batch = Batch()
    for number in range(count):
        # Those that are left over go to the first ones.
        began_at = now - (count - number) * MINUTE_MS
        _add(batch, tenant_id, f"user-{now}-{number % END_USERS}", each + (number < more), began_at=began_at)
        if len(batch.conversations) + len(batch.messages) >= ROWS_AT_ONCE:
            yield batch
            batch = Batch()
    if batch.conversations:
        yield batch


def _add(batch: Batch, tenant_id: str, end_user: str, count: int, *, began_at: int) -> None:
    """One conversation: questions and answers in turn."""
    conversation_id = _id("conv", began_at)
    shared: Values = {"tenant_id": tenant_id, "conversation_id": conversation_id}
    batch.conversations.append(
        {
            "id": conversation_id,
            "tenant_id": tenant_id,
            "end_user": end_user,
            "title": " ".join(random.choices(WORDS, k=6)),
            "parameters": {},
            "metadata": {},
            "next_turn": count // 2 + count % 2 + 1,
            "version": count + 1,
            "created_at": began_at,
            "updated_at": began_at + count,
        }
    )
    for place in range(count):
        turn, position = place // 2 + 1, place % 2
        at = began_at + place
        said = {**shared, "turn": turn, "position": position, "content": _text(), "created_at": at}
        if position:
            reply_id = _id("reply", at)
            batch.messages.append({**said, "id": answer_id(reply_id, 1), "role": "assistant", "reply_id": reply_id})
            batch.replies.append({**shared, **_reply(at), "id": reply_id, "turn": turn})
            batch.attempts.append({**_attempt(at), "reply_id": reply_id, "tenant_id": tenant_id, "end_user": None})
        else:
            batch.messages.append({**said, "id": _id("msg", at), "role": "user", "reply_id": None})
    if answers := count // 2:
        used = {"tenant_id": tenant_id, "day": day_of(began_at), "end_user": end_user}
        batch.usage.append({**used, **_used(answers)})


def _id(noun: str, at: int) -> str:
    """One as it would have been made at that instant; 16 of the characters that ids have are random."""
    return f"{noun}{first_reply_id(at)[5:-16]}{random.getrandbits(64):016x}"


def _text() -> str:
    return " ".join(random.choices(WORDS, k=WORDS_A_MESSAGE))


def _reply(at: int) -> Values:
    """What is the same in every reply that completed at that instant."""
    return {
        "candidate": 1,
        "status": ReplyStatus.COMPLETED,
        "model": "demo",
        "parameters": {},
        "metadata": {},
        "attempt": 1,
        "tries": 1,
        "model_calls": 1,
        "token": 2,
        "available_at": at,
        "deadline_at": at + 10 * MINUTE_MS,
        "selected": True,
        "input_tokens": WORDS_A_MESSAGE,
        "output_tokens": WORDS_A_MESSAGE,
        "created_at": at,
        "started_at": at,
        "finished_at": at,
    }


def _attempt(at: int) -> Values:
    """What is the same in every try that completed at that instant, and was counted since."""
    return {
        "attempt": 1,
        "worker_id": "worker_of_the_past",
        "model": "demo",
        "started_at": at,
        "ended_at": at,
        "outcome": AttemptOutcome.COMPLETED,
        "input_tokens": WORDS_A_MESSAGE,
        "output_tokens": WORDS_A_MESSAGE,
        "usage_estimated": False,
        "reply_status": ReplyStatus.COMPLETED,
        "lengths": [WORDS_A_MESSAGE] * 4,
        "first_token_ms": 1,
    }


def _used(answers: int) -> Values:
    """What so many answers to one end user come to on a day."""
    return {
        "model": "demo",
        "key_id": "",
        "completed": answers,
        "incomplete": 0,
        "failed": 0,
        "cancelled": 0,
        "attempts": answers,
        "input_tokens": answers * WORDS_A_MESSAGE,
        "output_tokens": answers * WORDS_A_MESSAGE,
        "estimated_tokens": 0,
    }


def main() -> None:
    """Fills the database that is named, and tells how fast."""
    options = argparse.ArgumentParser(description="Fills a database with conversations that are over.")
    options.add_argument("--conversations", type=int, default=1_000_000)
    options.add_argument("--messages", type=int, default=10_000_000, help="in all of them together")
    options.add_argument("--searchable", action="store_true", help="leave the messages for gateways to index")
    options.add_argument("database_url")
    given = options.parse_args()
    if given.conversations < 1 or given.messages < 0:
        options.error("there must be at least one conversation, and no fewer than no messages")
    url = parse_url(given.database_url)
    migrate(given.database_url)
    if path := sqlite_path(url):
        prepare_sqlite(path)
    began = told_at = time.monotonic()
    rows = 0

    def tell(more: int) -> None:
        nonlocal rows, told_at
        rows += more
        if time.monotonic() - told_at > 5:
            told_at = time.monotonic()
            print(f"{rows:,} rows, {rows / (told_at - began):,.0f} a second", flush=True)

    asked = {"conversations": given.conversations, "messages": given.messages, "searchable": given.searchable}
    with open_engine(url, read_only=False).connect() as connection:
        seed(connection, **asked, on_batch=tell)
    seconds = time.monotonic() - began
    print(f"{given.conversations:,} conversations with {given.messages:,} messages: {rows:,} rows in {seconds:.1f} s,")
    print(f"{rows / seconds:,.0f} rows a second, {given.messages / seconds:,.0f} messages a second")


if __name__ == "__main__":
    main()
