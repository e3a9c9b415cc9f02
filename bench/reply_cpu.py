"""What answering costs a worker: claim, stream, events, SQL and end, beside a plain asyncio consumer."""

from __future__ import annotations

import functools

from bench.asking import ask_for_load
from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_least, at_most, in_turn, ratios
from bench.installation import LOAD_MODEL, Installation, cpu_seconds, installed, until_workers
from bench.rows import until_answered
from cli.child_commands import python_module

SLOTS = 200
WARM_UP = 20
WITHIN_SECONDS = 300.0
COST, SHARE = "worker, CPU of a reply", "plain consumer by worker, CPU"


def start_worker(installation: Installation, base_url: str, *, slots: int = SLOTS) -> int:
    """A worker as it is; its process id."""
    return installation.start_worker(base_url, slots=slots).pid


def start_plain(installation: Installation, base_url: str, *, slots: int = SLOTS) -> int:
    """The plain consumer; its process id."""
    command = python_module("bench.processes.plain_consumer", base_url, str(slots))
    return installation.start(*command, name="plain").pid


async def _cost(scope: Scope, *, plain: bool) -> float:
    """Milliseconds of CPU for each reply."""
    replies = scope.choose(1000, 100)
    async with installed(scope.database_url) as installation, installation.database() as database:
        base_url = await installation.start_demo()
        gateway = await installation.start_gateway()
        pid = (start_plain if plain else start_worker)(installation, base_url)
        if not plain:
            await until_workers(gateway, 1)
        await ask_for_load(gateway.url, WARM_UP, model=LOAD_MODEL)
        await until_answered(database, seconds=WITHIN_SECONDS)
        before = cpu_seconds(pid)
        await ask_for_load(gateway.url, replies, model=LOAD_MODEL)
        await until_answered(database, seconds=WITHIN_SECONDS)
        return 1000 * (cpu_seconds(pid) - before) / replies


async def run(scope: Scope) -> list[Row]:
    """A new installation each time, so that neither answers what the other was rung for."""
    ways = {name: functools.partial(_cost, scope, plain=name == "plain") for name in ("plain", "worker")}
    found = await in_turn(scope.runs_of(3), ways)
    return [
        Row("plain consumer, CPU of a reply", "ms", found["plain"]),
        Row(COST, "ms", found["worker"]),
        Row(SHARE, "", ratios(found["plain"], found["worker"])),
    ]


BENCHMARK = Benchmark(
    "reply_cpu",
    "a worker's CPU for a reply of 41 tokens, from the claim to the end, beside a plain asyncio consumer",
    run,
    {COST: at_most(16, "ms"), SHARE: at_least(0.6)},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
