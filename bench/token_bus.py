"""The token bus: what a token costs a gateway, and how long it takes from a worker to a client.

Many streams on one gateway, spoken into by one process, beside a bare gateway that only forwards.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass

from bench.command import run as run_command
from bench.event_reader import opened
from bench.frame import Benchmark, Row, Scope, at_most, in_turn, percentile
from bench.installation import Installation, Served, cpu_seconds, installed
from cli.child_commands import python_module

WARM_SECONDS = 1.0
CONNECTING_AT_ONCE = 100
COST = "asyncchat, gateway CPU of a token"


@dataclass(frozen=True, slots=True)
class Load:
    """So many streams, into all of which so many tokens a second are said for so long."""

    streams: int
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Heard:
    """One run: CPU of the gateway for each token, how late each was, and the share of them that was read."""

    cpu_us: float
    late_ms: Sequence[float]
    share: float


async def _read(url: str, late: list[float], connected: asyncio.Event) -> None:
    async with opened(url) as events:
        connected.set()
        async for _, data in events:
            now = time.monotonic_ns()
            if '"text"' in data:
                late += [(now - int(stamp)) / 1e6 for stamp in json.loads(data)["text"].split()]


async def _speaker(installation: Installation, load: Load) -> tuple[Process, list[list[str]]]:
    process = await asyncio.create_subprocess_exec(
        *python_module("bench.processes.publisher", str(load.streams), str(load.rate), str(load.seconds)),
        env=installation.environment,
        stdin=PIPE,
        stdout=PIPE,
        limit=1 << 26,
    )
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())


async def _connect(urls: Sequence[str], late: list[float]) -> list[asyncio.Task[None]]:
    readers = []
    for start in range(0, len(urls), CONNECTING_AT_ONCE):
        some = [(url, asyncio.Event()) for url in urls[start : start + CONNECTING_AT_ONCE]]
        readers += [asyncio.create_task(_read(url, late, connected)) for url, connected in some]
        await asyncio.gather(*(connected.wait() for _, connected in some))
    return readers


async def _hear(gateway: Served, urls: Sequence[str], speaker: Process) -> Heard:
    late: list[float] = []
    readers = await _connect(urls, late)
    await asyncio.sleep(WARM_SECONDS)
    assert speaker.stdin is not None
    assert speaker.stdout is not None
    before = cpu_seconds(gateway.pid)
    speaker.stdin.write(b"\n")
    said = int(json.loads(await speaker.stdout.readline()))
    await asyncio.sleep(WARM_SECONDS)
    spent = cpu_seconds(gateway.pid) - before
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    speaker.stdin.write(b"\n")
    await speaker.wait()
    return Heard(1e6 * spent / max(1, len(late)), late, len(late) / said)


async def _bare(load: Load, database_url: str | None, *, app: str) -> Heard:
    async with installed(database_url) as installation:
        speaker, ids = await _speaker(installation, load)
        served = await installation.start_app(app, BARE_REDIS_URL=installation.settings().client_redis_url)
        return await _hear(served, [f"{served.url}/conversations/{one}/events/" for one, _ in ids], speaker)


async def _own(load: Load, database_url: str | None) -> Heard:
    async with installed(database_url) as installation:
        speaker, ids = await _speaker(installation, load)
        served = await installation.start_gateway()
        return await _hear(served, [f"{served.url}/replies/{reply}/events/" for _, reply in ids], speaker)


async def run(scope: Scope, *, baseline: str = "bare_gateway:app") -> list[Row]:
    """A new installation each time, since a reply is spoken once. `baseline` is an ASGI app of bench.processes."""
    load = scope.choose(Load(1000, 5000, 10), Load(100, 500, 2))
    ways = {
        "bare": functools.partial(_bare, load, scope.database_url, app=baseline),
        "asyncchat": functools.partial(_own, load, scope.database_url),
    }
    found = await in_turn(scope.runs_of(3), ways)
    rows = []
    for name, runs in found.items():
        rows += [
            Row(f"{name}, gateway CPU of a token", "µs", [each.cpu_us for each in runs]),
            Row(f"{name}, p50 from worker to client", "ms", [percentile(each.late_ms, 0.5) for each in runs]),
            Row(f"{name}, p99 from worker to client", "ms", [percentile(each.late_ms, 0.99) for each in runs]),
            Row(f"{name}, tokens that were read", "%", [100 * each.share for each in runs]),
        ]
    return rows


BENCHMARK = Benchmark(
    "token_bus",
    "1,000 streams on one gateway, 5,000 tokens a second, beside a bare gateway that only forwards",
    run,
    {COST: at_most(100, "µs")},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
