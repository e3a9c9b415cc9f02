"""A thousand generations in flight in one worker process: what each takes of its memory, beside a plain consumer."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass

from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_least, at_most, in_turn
from bench.installation import installed, resident_bytes, until_workers
from bench.reply_cpu import start_plain, start_worker
from bench.rows import asked, until_answered, until_running

# Longer than it takes to claim them all, so that all are under way at one moment.
MODELS = ("demo-20000ms", "demo-5000ms")
WITHIN_SECONDS = 300.0
EACH, ALL, COUNT = "worker, memory of each", "worker, memory in all", "worker, replies under way at once"
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Grown:
    """One run: memory of each reply and of the whole process at its most, in megabytes."""

    each: float
    whole: float


async def _grow(scope: Scope, *, plain: bool, count: int) -> Grown:
    async with installed(scope.database_url) as installation, installation.database() as database:
        base_url = await installation.start_demo()
        gateway = await installation.start_gateway()
        pid = (start_plain if plain else start_worker)(installation, base_url, slots=count)
        if not plain:
            await until_workers(gateway, 1)
        # What the first reply loads is not what each takes.
        await asked(database, 1, model="demo-fast")
        await until_answered(database, seconds=WITHIN_SECONDS)
        before = most = resident_bytes(pid)
        await asked(database, count, model=scope.choose(*MODELS))
        await until_running(database, count)
        over = asyncio.create_task(until_answered(database, seconds=WITHIN_SECONDS))
        while not over.done():
            most = max(most, resident_bytes(pid))
            await asyncio.wait([over], timeout=0.1)
        await over
        return Grown((most - before) / count / MEGABYTE, most / MEGABYTE)


async def run(scope: Scope) -> list[Row]:
    """A new installation each time, since memory once taken is seldom given back."""
    count = scope.choose(1000, 100)
    ways = {name: functools.partial(_grow, scope, plain=name == "plain", count=count) for name in ("plain", "worker")}
    found = await in_turn(scope.runs_of(2), ways)
    return [
        Row("plain consumer, memory of each", "MB", [each.each for each in found["plain"]]),
        Row(EACH, "MB", [each.each for each in found["worker"]]),
        Row("plain consumer, memory in all", "MB", [each.whole for each in found["plain"]]),
        Row(ALL, "MB", [each.whole for each in found["worker"]]),
        Row(COUNT, "", [count]),
    ]


BENCHMARK = Benchmark(
    "in_flight",
    "1,000 generations in flight in one worker process and what they take of its memory, beside a plain consumer",
    run,
    {COUNT: at_least(1000), EACH: at_most(0.15, "MB"), ALL: at_most(250, "MB")},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
