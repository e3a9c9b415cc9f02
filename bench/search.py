"""Searching what was said: how long a page of matches takes by the index, beside looking through every message."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable

from sqlalchemy import Connection, func, insert, select

from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, in_turn
from bench.seed import seed
from bench.stored import stored, timed
from shared.clock import now_ms
from shared.database.models import DEFAULT_TENANT, messages
from shared.ids import new_message_id
from shared.store import search_index
from shared.store.search import Search, find

RARE = "zeppelin"
# A word of every other message, of which the first page is all that is shown.
COMMON = "database"
READS = 20


def _fill(connection: Connection, *, conversations: int) -> None:
    """Conversations of ten messages each, one of which says the rare word, and all of it indexed."""
    ids = seed(connection, conversations=conversations, messages=10 * conversations, searchable=True)
    with connection.begin():
        connection.execute(
            insert(messages),
            {
                "id": new_message_id(),
                "tenant_id": DEFAULT_TENANT,
                "conversation_id": ids[len(ids) // 2],
                "turn": 6,
                "position": 0,
                "role": "user",
                "content": f"Where is the {RARE}?",
                "created_at": now_ms(),
            },
        )
    while search_index.has_pending(connection):
        search_index.index_some(connection)
        connection.commit()


def _by_index(connection: Connection, *, word: str) -> object:
    return find(connection, Search(DEFAULT_TENANT, [word], limit=20))


def _by_looking(connection: Connection) -> object:
    """The naive way, on the same rows."""
    query = select(messages.c.conversation_id).where(
        messages.c.tenant_id == DEFAULT_TENANT, func.lower(messages.c.content).like(f"%{RARE}%")
    )
    return connection.execute(query.limit(20)).all()


async def run(scope: Scope) -> list[Row]:
    """Searches in turn, by the store's own function."""
    count = scope.choose(5000, 200)
    ways: dict[str, Callable[[Connection], object]] = {
        "looking": _by_looking,
        "rare": functools.partial(_by_index, word=RARE),
        "common": functools.partial(_by_index, word=COMMON),
    }
    with stored(scope.database_url, functools.partial(_fill, conversations=count)) as connection:

        async def read(way: Callable[[Connection], object]) -> float:
            return statistics.median(timed(connection, way, times=READS)) / 1000

        found = await in_turn(scope.runs_of(5), {name: functools.partial(read, way) for name, way in ways.items()})
    said = f"in {10 * count:,} messages"
    return [
        Row(f"a rare word {said}, without an index", "ms", found["looking"]),
        Row(f"a rare word {said}", "ms", found["rare"]),
        Row(f"a common word {said}", "ms", found["common"]),
    ]


BENCHMARK = Benchmark(
    "search", "a page of the conversations in which a word was said, beside a query without an index", run
)

if __name__ == "__main__":
    run_command(BENCHMARK)
