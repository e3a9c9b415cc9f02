"""Reading history: what the last page of a conversation and the newest page of all cost as they grow."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_most, in_turn, ratios
from bench.seed import seed
from bench.stored import stored, timed
from shared.store import conversations, messages

PAGE = 50
SHORT, LONG = 50, 10_000
FEW = 1000
READS = 200
LAST, NEWEST = "last page, 10,000 messages by 50", "newest page, many conversations by 1,000"


@dataclass(slots=True)
class Seeded:
    """Two conversations, in a database in which one tenant has few more and another very many."""

    many: int
    short: str = field(init=False)
    long: str = field(init=False)

    def fill(self, connection: Connection) -> None:
        """Makes them."""
        (self.short,) = seed(connection, conversations=1, messages=SHORT, tenant_id="single")
        (self.long,) = seed(connection, conversations=1, messages=LONG, tenant_id="single")
        seed(connection, conversations=FEW, messages=2 * FEW, tenant_id="few")
        seed(connection, conversations=self.many, messages=2 * self.many, tenant_id="many")


def _last_page(connection: Connection, *, of: str) -> object:
    return messages.page(connection, of, limit=PAGE)


def _newest_page(connection: Connection, *, of: str) -> object:
    return conversations.page(connection, of, limit=PAGE, after=None, order="desc", end_user=None)


async def run(scope: Scope) -> list[Row]:
    """Reads each page many times in a run, by the store's own functions."""
    seeded = Seeded(scope.choose(200_000, 5000))
    with stored(scope.database_url, seeded.fill) as connection:
        pages: dict[str, Callable[[Connection], object]] = {
            "short": functools.partial(_last_page, of=seeded.short),
            "long": functools.partial(_last_page, of=seeded.long),
            "few": functools.partial(_newest_page, of="few"),
            "many": functools.partial(_newest_page, of="many"),
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
        Row(f"newest page of {seeded.many:,} conversations", "µs", found["many"]),
        Row(NEWEST, "", ratios(found["many"], found["few"])),
    ]


BENCHMARK = Benchmark(
    "history",
    f"a page of {PAGE}: the last one of a conversation, the newest one of a list, short and long",
    run,
    {LAST: at_most(1.5), NEWEST: at_most(2)},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
