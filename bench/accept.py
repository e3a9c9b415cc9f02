"""Accepting a message: how many a gateway takes a second and what each costs it, beside FastAPI's hello-world.

`python -m bench.accept [DATABASE_URL]`: the doorbell is included, workers are not. Without a URL it is a SQLite file.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass

import httpx2

from bench.installation import Installation, cpu_seconds, installed, machine, percentile, until_answers
from cli.child_commands import python_module
from cli.ports import free_port

CONNECTIONS = 32
SECONDS = 4.0
RUNS = 5
CONVERSATIONS = 256
WARM_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run: accepted a second, the process's CPU for each in microseconds, and how long each took."""

    rate: float
    cpu_us: float
    took_ms: list[float]


async def _post(pid: int, url: str, paths: list[str], *, connections: int, seconds: float) -> Run:
    host, _, port = url.removeprefix("http://").partition(":")
    command = python_module("bench.posting", host, port, str(connections), str(seconds))
    before = cpu_seconds(pid)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=1 << 26)
    said, _ = await process.communicate(json.dumps(paths).encode())
    took = json.loads(said)
    return Run(len(took) / seconds, 1e6 * (cpu_seconds(pid) - before) / len(took), took)


async def _paths(url: str) -> list[str]:
    async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
        made = await asyncio.gather(*(http.post("/conversations/", json={}) for _ in range(CONVERSATIONS)))
    return [f"/conversations/{answer.json()['id']}/ask-message/" for answer in made]


async def _start_hello(installation: Installation) -> tuple[int, str]:
    port = free_port()
    command = python_module(
        "uvicorn", "bench.hello:app", "--port", str(port), "--log-level", "error", "--loop", "uvloop"
    )
    process = installation.start(*command, name="hello")
    await until_answers(f"http://127.0.0.1:{port}/readyz")
    return process.pid, f"http://127.0.0.1:{port}"


def _line(name: str, runs: list[Run], lone: Run) -> str:
    rates, costs = [run.rate for run in runs], [run.cpu_us for run in runs]
    return (
        f"{name:<10} {statistics.median(rates):>6.0f}/s ({min(rates):.0f}-{max(rates):.0f}), "
        f"{statistics.median(costs):.0f} µs of CPU each ({min(costs):.0f}-{max(costs):.0f}); "
        f"alone p50 {percentile(lone.took_ms, 0.5):.1f} p99 {percentile(lone.took_ms, 0.99):.1f} ms"
    )


async def _main(database_url: str | None) -> None:
    print(f"{CONNECTIONS} connections, {RUNS} runs of {SECONDS:.0f} s each in turn; {machine()}")
    async with installed(database_url) as installation:
        gateway, url = await installation.start_gateway(
            ASYNCCHAT_MAX_LIVE_OF_TENANT="1000000", ASYNCCHAT_MAX_LIVE="1000000"
        )
        hello_pid, hello_url = await _start_hello(installation)
        paths = await _paths(url)
        ways = {"hello": (hello_pid, hello_url), "asyncchat": (gateway.pid, url)}
        runs: dict[str, list[Run]] = {name: [] for name in ways}
        for pid, at in ways.values():
            await _post(pid, at, paths, connections=CONNECTIONS, seconds=WARM_SECONDS)
        lone = {name: await _post(pid, at, paths, connections=1, seconds=SECONDS) for name, (pid, at) in ways.items()}
        for _ in range(RUNS):
            for name, (pid, at) in ways.items():
                runs[name].append(await _post(pid, at, paths, connections=CONNECTIONS, seconds=SECONDS))
    for name in ways:
        print(_line(name, runs[name], lone[name]))
    pairs = zip(runs["asyncchat"], runs["hello"], strict=True)
    ratios = sorted(own.rate / hello.rate for own, hello in pairs)
    print(f"asyncchat takes {statistics.median(ratios):.2f} of hello's rate ({ratios[0]:.2f}-{ratios[-1]:.2f})")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1] if len(sys.argv) > 1 else None))
