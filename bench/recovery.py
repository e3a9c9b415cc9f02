"""A worker is killed with its hands full: until another has each of its replies, beside how long a first claim takes.

Two workers; the one that holds replies is killed, the other takes them over.
"""

from __future__ import annotations

from bench.asking import ask_for_load
from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_most, percentile
from bench.installation import Installation, installed, until, until_workers
from bench.rows import spans, until_running
from shared.clock import now_ms
from shared.database.access import Database

# Long enough to be under way when their worker dies, and when the next one has them.
MODEL = "demo-drip"
WITHIN_SECONDS = 60.0
P50, P99 = "from kill -9 to the new attempt, p50", "from kill -9 to the new attempt, p99"


async def _kill(installation: Installation, database: Database, scope: Scope) -> tuple[list[float], list[float]]:
    """Seconds from asking to the first attempt, and from the kill to the second one, of each reply."""
    count = scope.choose(100, 20)
    base_url = await installation.start_demo()
    gateway = await installation.start_gateway()
    first = installation.start_worker(base_url, slots=count)
    await until_workers(gateway, 1)
    asked_at = now_ms()
    await ask_for_load(gateway.url, count, model=MODEL)
    await until_running(database, count)
    installation.start_worker(base_url, slots=count)
    await until_workers(gateway, 2)
    killed_at = now_ms()
    first.kill()

    async def all_are_taken_over() -> bool:
        return sum(span.attempt == 2 for span in await spans(database)) == count

    await until(all_are_taken_over, what="the new attempts", seconds=WITHIN_SECONDS)
    found = await spans(database)
    began = [(span.started_at - asked_at) / 1000 for span in found if span.attempt == 1]
    return began, [(span.started_at - killed_at) / 1000 for span in found if span.attempt == 2]


async def run(scope: Scope) -> list[Row]:
    """A new installation for each kill."""
    found = []
    for _ in range(scope.runs_of(3)):
        async with installed(scope.database_url) as installation, installation.database() as database:
            found.append(await _kill(installation, database, scope))
    return [
        Row("from asking to the first attempt, p99", "s", [percentile(began, 0.99) for began, _ in found]),
        Row(P50, "s", [percentile(again, 0.5) for _, again in found]),
        Row(P99, "s", [percentile(again, 0.99) for _, again in found]),
    ]


BENCHMARK = Benchmark(
    "recovery",
    "a worker that holds 100 replies is killed: until another one has each of them",
    run,
    {P99: at_most(10, "s")},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
