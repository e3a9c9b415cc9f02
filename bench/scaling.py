"""From one worker to two on a load that waits for the model: how near the rate comes to twice as much."""

from __future__ import annotations

import functools

from bench.asking import ask_for_load
from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_least, in_turn, ratios
from bench.installation import LOAD_MODEL, installed, until_workers
from bench.rows import spans, until_answered

# So few that the machine has CPU to spare: what is looked for is what workers take from each other, not its limit.
SLOTS = 20
WITHIN_SECONDS = 300.0
SHARE = "two workers by twice one, replies"


async def _rate(scope: Scope, *, workers: int) -> float:
    """Replies a second, from the first claim to the last end."""
    replies = workers * SLOTS * scope.choose(10, 2)
    async with installed(scope.database_url) as installation, installation.database() as database:
        base_url = await installation.start_demo()
        gateway = await installation.start_gateway()
        for _ in range(workers):
            installation.start_worker(base_url, slots=SLOTS)
        await until_workers(gateway, workers)
        await ask_for_load(gateway.url, replies, model=LOAD_MODEL)
        await until_answered(database, seconds=WITHIN_SECONDS)
        found = await spans(database)
    ended = [span.ended_at for span in found if span.ended_at is not None]
    return 1000 * replies / (max(ended) - min(span.started_at for span in found))


async def run(scope: Scope) -> list[Row]:
    """Twice as many replies for two workers, so that both ways take as long."""
    ways = {name: functools.partial(_rate, scope, workers=count) for name, count in (("one", 1), ("two", 2))}
    found = await in_turn(scope.runs_of(3), ways)
    return [
        Row("one worker, replies", "/s", found["one"]),
        Row("two workers, replies", "/s", found["two"]),
        Row(SHARE, "", ratios(found["two"], [2 * rate for rate in found["one"]])),
    ]


BENCHMARK = Benchmark(
    "scaling",
    f"the rate of two workers beside that of one, {SLOTS} slots each, on replies that take two seconds",
    run,
    {SHARE: at_least(0.9)},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
