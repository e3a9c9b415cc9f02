"""Accepting a message: how many a gateway takes a second and what each costs it, beside FastAPI's hello-world.

The doorbell is included, workers are not.
"""

from __future__ import annotations

import asyncio
import functools
import json
from asyncio.subprocess import PIPE
from dataclasses import dataclass

import httpx2

from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_least, at_most, in_turn, percentile, ratios
from bench.installation import Served, cpu_seconds, installed
from cli.child_commands import python_module

CONNECTIONS = 32
CONVERSATIONS = 256
WARM_SECONDS = 1.0
# Nobody answers, so all of it stays live.
UNBOUNDED = {"ASYNCCHAT_MAX_LIVE_OF_TENANT": "10000000", "ASYNCCHAT_MAX_LIVE": "10000000"}
SHARE, LONE = "asyncchat by hello-world, requests", "asyncchat, p99 of a lone one"


@dataclass(frozen=True, slots=True)
class Posted:
    """One run: accepted a second, the process's CPU for each in microseconds, and how long each took."""

    rate: float
    cpu_us: float
    took_ms: list[float]


async def post(served: Served, paths: list[str], *, connections: int, seconds: float) -> Posted:
    """Posts there over so many connections for so long."""
    host, _, port = served.url.removeprefix("http://").partition(":")
    command = python_module("bench.processes.posting", host, port, str(connections), str(seconds))
    before = cpu_seconds(served.pid)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=1 << 26)
    said, _ = await process.communicate(json.dumps(paths).encode())
    took = json.loads(said)
    return Posted(len(took) / seconds, 1e6 * (cpu_seconds(served.pid) - before) / len(took), took)


async def paths_of(url: str) -> list[str]:
    """Where to post to: in so many new conversations of a gateway."""
    async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
        made = await asyncio.gather(*(http.post("/conversations/", json={}) for _ in range(CONVERSATIONS)))
    return [f"/conversations/{answer.json()['id']}/ask-message/" for answer in made]


async def post_anew(served: Served, gateway: Served, *, connections: int, seconds: float) -> Posted:
    """Posts there as if to new conversations of the gateway: nobody answers, and nobody has hundreds of turns wait."""
    return await post(served, await paths_of(gateway.url), connections=connections, seconds=seconds)


async def run(scope: Scope, *, baseline: str = "hello:app") -> list[Row]:
    """Posts to both in turn, over many connections and then over one. `baseline` is an ASGI app of bench.processes."""
    seconds, runs = scope.choose(4.0, 1.0), scope.runs_of(5)
    async with installed(scope.database_url) as installation:
        gateway = await installation.start_gateway(**UNBOUNDED)
        hello = await installation.start_app(baseline)
        many, one = (
            {
                name: functools.partial(post_anew, served, gateway, connections=connections, seconds=seconds)
                for name, served in (("hello", hello), ("asyncchat", gateway))
            }
            for connections in (CONNECTIONS, 1)
        )
        for served in (hello, gateway):
            await post_anew(served, gateway, connections=CONNECTIONS, seconds=WARM_SECONDS)
        found = await in_turn(runs, many)
        alone = await in_turn(runs, one)
    rates = {name: [each.rate for each in runs] for name, runs in found.items()}
    return [
        Row("hello-world, requests", "/s", rates["hello"]),
        Row("asyncchat, requests", "/s", rates["asyncchat"]),
        Row(SHARE, "", ratios(rates["asyncchat"], rates["hello"])),
        Row("hello-world, CPU of each", "µs", [each.cpu_us for each in found["hello"]]),
        Row("asyncchat, CPU of each", "µs", [each.cpu_us for each in found["asyncchat"]]),
        Row("asyncchat, p50 of a lone one", "ms", [percentile(each.took_ms, 0.5) for each in alone["asyncchat"]]),
        Row(LONE, "ms", [percentile(each.took_ms, 0.99) for each in alone["asyncchat"]]),
    ]


BENCHMARK = Benchmark(
    "accept",
    f"a message and its reply stored and rung for, {CONNECTIONS} connections, beside FastAPI's hello-world",
    run,
    {SHARE: at_least(0.35), LONE: at_most(15, "ms")},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
