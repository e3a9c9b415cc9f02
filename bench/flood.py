"""One tenant floods, another asks now and then: how long it waits, beside how long it waited before the flood.

Thousands of replies of the flood are queued; more come over 16 connections, eight with each ask, as fast as the rate
for each key lets them.
"""

from __future__ import annotations

import asyncio
import time

import httpx2

from api.services.keys import make
from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_most, percentile
from bench.installation import Installation, installed, until_workers
from bench.rows import asked
from shared.api_keys import ALL_SCOPES
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT

MODEL = "demo"
PARAMETERS = {"max_output_tokens": 3}
WARM_UP = 10
# Two seconds and a hundredth of a core's second each, so that the worker is short of slots and not of CPU.
FLOOD_MODEL = "demo-load"
SLOTS = 40
CONNECTIONS = 16
RATE = "1200/minute"
REPLIES_AN_ASK = 8
# Between two asks of the quiet tenant.
PAUSE_SECONDS = 0.1
ADDED = "added by the flood, p95"


async def _key(database: Database, tenant: str) -> dict[str, str]:
    made = await database.write(make, tenant, name=tenant, scopes=ALL_SCOPES, expires_at=None, pepper="")
    return {"Authorization": f"Bearer {made.secret}"}


async def _ask(http: httpx2.AsyncClient) -> float:
    """From asking to the whole answer, in milliseconds."""
    body = {"message": {"content": "Hello"}, "model": MODEL, "parameters": PARAMETERS}
    began = time.perf_counter()
    answer = await http.post("/conversations/?wait=50", json=body)
    assert answer.json()["live_replies"] == [], answer.text
    return 1000 * (time.perf_counter() - began)


async def _quietly(http: httpx2.AsyncClient, seconds: float) -> list[float]:
    until = time.perf_counter() + seconds
    found = []
    while time.perf_counter() < until:
        found.append(await _ask(http))
        await asyncio.sleep(PAUSE_SECONDS)
    return found


async def _flood(http: httpx2.AsyncClient) -> None:
    body = {"content": "Flood", "n": REPLIES_AN_ASK}
    while True:
        created = {"message": body, "model": FLOOD_MODEL}
        answer = await http.post("/conversations/", json=created)
        if answer.status_code != 201:
            await asyncio.sleep(float(answer.headers["Retry-After"]))


async def _measure(installation: Installation, database: Database, scope: Scope) -> tuple[list[float], list[float]]:
    """How long the quiet tenant waited, alone and beside the flood."""
    seconds = scope.choose(20.0, 3.0)
    quiet_key, flooding_key = await _key(database, "quiet"), await _key(database, DEFAULT_TENANT)
    base_url = await installation.start_demo()
    gateway = await installation.start_gateway(ASYNCCHAT_AUTH="keys", ASYNCCHAT_WRITE_RATE=RATE)
    installation.start_worker(base_url, slots=SLOTS)
    await until_workers(gateway, 1)
    bounds = httpx2.Limits(max_connections=CONNECTIONS)
    async with (
        httpx2.AsyncClient(base_url=gateway.url, headers=quiet_key, timeout=60) as quiet,
        httpx2.AsyncClient(base_url=gateway.url, headers=flooding_key, timeout=60, limits=bounds) as flooding,
    ):
        for _ in range(WARM_UP):
            await _ask(quiet)
        alone = await _quietly(quiet, seconds)
        await asked(database, scope.choose(10_000, 500))
        floods = [asyncio.create_task(_flood(flooding)) for _ in range(CONNECTIONS)]
        beside = await _quietly(quiet, seconds)
        for flood in floods:
            flood.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
    return alone, beside


async def run(scope: Scope) -> list[Row]:
    """A new installation for each run: a flood is not over when its tenant stops."""
    found = []
    for _ in range(scope.runs_of(2)):
        async with installed(scope.database_url) as installation, installation.database() as database:
            found.append(await _measure(installation, database, scope))
    alone, beside = ([percentile(each[number], 0.95) for each in found] for number in (0, 1))
    return [
        Row("an answer, alone, p95", "ms", alone),
        Row("an answer, beside the flood, p95", "ms", beside),
        Row(ADDED, "s", [(late - early) / 1000 for early, late in zip(alone, beside, strict=True)]),
    ]


BENCHMARK = Benchmark(
    "flood",
    "how long one tenant waits while another has thousands of replies queued and asks for more",
    run,
    {ADDED: at_most(2, "s")},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
