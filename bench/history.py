"""Reading history: what the last page of a conversation, the newest page of all, and what looks through everything for
the little there is to do, cost as they grow.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, delete, func, select

from bench.command import parser, run_all
from bench.frame import Benchmark, Row, Scope, at_most, in_turn, ratios
from bench.seed import seed
from bench.stored import stored, timed
from shared.clock import now_ms
from shared.database.engine import open_engine, parse_url
from shared.database.models import DEFAULT_TENANT, usage_days
from shared.database.models import conversations as table
from shared.reply_status import ReplyStatus
from shared.store import (
    claims,
    conversations,
    delivery_claims,
    idempotency,
    messages,
    outlived,
    replies,
    search,
    takeovers,
    usage,
    workers,
)
from shared.store.search import Search

PAGE = 50
SHORT, LONG = 50, 10_000
FEW = 1000
READS = 200
SINGLE, FEW_TENANT = "bench-single", "bench-few"
LAST, NEWEST = "last page, 10,000 messages by 50", "newest page, many conversations by 1,000"


@dataclass(slots=True)
class Seeded:
    """Two conversations, and a tenant with few, in a database in which another tenant has very many."""

    short: str = field(init=False)
    long: str = field(init=False)

    def fill(self, connection: Connection, *, many: int | None) -> None:
        """Makes them, and the many unless they are there."""
        (self.short,) = seed(connection, conversations=1, messages=SHORT, tenant_id=SINGLE)
        (self.long,) = seed(connection, conversations=1, messages=LONG, tenant_id=SINGLE)
        seed(connection, conversations=FEW, messages=2 * FEW, tenant_id=FEW_TENANT)
        if many is not None:
            seed(connection, conversations=many, messages=2 * many)


def _last_page(connection: Connection, *, of: str) -> object:
    return messages.page(connection, of, limit=PAGE)


def _newest_page(connection: Connection, *, of: str) -> object:
    return conversations.page(connection, of, limit=PAGE, after=None, order="desc", end_user=None)


def _look_for_work(connection: Connection) -> object:
    return claims.has_due(connection, now=now_ms())


def _sweep(connection: Connection) -> object:
    now = now_ms()
    return (
        workers.beats(connection),
        takeovers.ownerless(connection),
        takeovers.overdue(connection, now=now, limit=PAGE),
        takeovers.has_stamps_from_future(connection, now=now),
        delivery_claims.has_stranded(connection),
    )


def _upkeep(connection: Connection) -> object:
    return (
        usage.has_uncounted(connection),
        takeovers.left_waiting(connection),
        idempotency.has_older(connection, before=0),
        outlived.ephemeral(connection, before=0),
        outlived.of_any_kind(connection, before=0),
    )


def _failed(connection: Connection) -> object:
    return replies.page(
        connection, DEFAULT_TENANT, limit=PAGE, after=None, statuses={ReplyStatus.FAILED}, conversation_id=None
    )


def _search(connection: Connection) -> object:
    return search.find(connection, Search(DEFAULT_TENANT, ["zebra"], PAGE))


# What goes through all there is, for the little that is wanted.
LOOKS: dict[str, Callable[[Connection], object]] = {
    "a worker's look for work": _look_for_work,
    "a sweep": _sweep,
    "upkeep with nothing to do": _upkeep,
    "newest page of the replies that failed, of which there are none": _failed,
    "a search that finds nothing": _search,
}


@contextmanager
def _in_a_seeded_one(database_url: str, seeded: Seeded) -> Iterator[Connection]:
    """A connection that reads a database which is there; what was added to it for the block is taken out again."""
    url = parse_url(database_url)
    with open_engine(url, read_only=False).connect() as writing:
        seeded.fill(writing, many=None)
        try:
            with open_engine(url, read_only=True).connect() as connection:
                yield connection
        finally:
            with writing.begin():
                for rows in (table, usage_days):
                    writing.execute(delete(rows).where(rows.c.tenant_id.in_([SINGLE, FEW_TENANT])))


async def run(scope: Scope, *, database_url: str | None = None) -> list[Row]:
    """Reads each page many times in a run, by the store's own functions; with a URL, in that database."""
    seeded = Seeded()
    if database_url is not None:
        opened = _in_a_seeded_one(database_url, seeded)
    else:
        opened = stored(scope.database_url, functools.partial(seeded.fill, many=scope.choose(200_000, 5000)))
    with opened as connection:
        with connection.begin():
            of_many = select(func.count()).where(table.c.tenant_id == DEFAULT_TENANT)
            many = connection.execute(of_many).scalar_one()
        pages: dict[str, Callable[[Connection], object]] = {
            "short": functools.partial(_last_page, of=seeded.short),
            "long": functools.partial(_last_page, of=seeded.long),
            "few": functools.partial(_newest_page, of=FEW_TENANT),
            "many": functools.partial(_newest_page, of=DEFAULT_TENANT),
            **LOOKS,
        }

        async def read(page: Callable[[Connection], object]) -> float:
            return statistics.median(timed(connection, page, times=READS))

        ways = {name: functools.partial(read, page) for name, page in pages.items()}
        found = await in_turn(scope.runs_of(5), ways)
    return [
        Row(f"last page of {SHORT} messages", "µs", found["short"]),
        Row(f"last page of {LONG:,} messages", "µs", found["long"]),
        Row(LAST, "", ratios(found["long"], found["short"])),
        Row(f"newest page of {FEW:,} conversations", "µs", found["few"]),
        Row(f"newest page of {many:,} conversations", "µs", found["many"]),
        Row(NEWEST, "", ratios(found["many"], found["few"])),
        *(Row(name, "µs", found[name]) for name in LOOKS),
    ]


BENCHMARK = Benchmark(
    "history",
    f"a page of {PAGE}: the last one of a conversation, the newest one of a list, short and long",
    run,
    {LAST: at_most(1.5), NEWEST: at_most(2)},
)


def main() -> None:
    """The command, with an option of its own."""
    options = parser(BENCHMARK.measures)
    options.add_argument("--seeded", metavar="URL", help="a database that bench.seed has filled; it stays as it was")
    given = options.parse_args()
    run_all([replace(BENCHMARK, run=functools.partial(run, database_url=given.seeded))], given)


if __name__ == "__main__":
    main()
