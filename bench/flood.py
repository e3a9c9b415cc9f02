"""One tenant floods, another asks now and then: how long it waits, beside how long it waited before the flood.

`python -m bench.flood [SECONDS]`. Ten thousand replies of the flood are queued; more come over 16 connections, eight
with each ask, as fast as the rate for each key lets them.
"""

from __future__ import annotations

import asyncio
import sys
import time

import httpx2

from api.services.keys import make
from bench.installation import Installation, installed, machine, percentile
from bench.rows import asked
from shared.api_keys import ALL_SCOPES
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.store import replies

MODEL = "demo"
PARAMETERS = {"max_output_tokens": 3}
WARM_UP = 10
# Two seconds and a hundredth of a core's second each, so that the worker is short of slots and not of CPU.
FLOOD_MODEL = "demo-load"
SLOTS = 40
QUEUED = 10_000
CONNECTIONS = 16
RATE = "1200/minute"
REPLIES_AN_ASK = 8
# Between two asks of the quiet tenant.
PAUSE_SECONDS = 0.1
# The promise: the quiet tenant's p95 is within this of its own without the flood.
MOST_ADDED_SECONDS = 2.0


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


async def _flood(http: httpx2.AsyncClient, refused: list[int]) -> None:
    body = {"content": "Flood", "n": REPLIES_AN_ASK}
    while True:
        created = {"message": body, "model": FLOOD_MODEL}
        answer = await http.post("/conversations/", json=created)
        if answer.status_code != 201:
            refused.append(answer.status_code)
            await asyncio.sleep(float(answer.headers["Retry-After"]))


async def _measure(installation: Installation, database: Database, seconds: float) -> None:
    quiet_key, flooding_key = await _key(database, "quiet"), await _key(database, DEFAULT_TENANT)
    _, base_url = await installation.start_demo()
    installation.start_worker(base_url, slots=SLOTS)
    _, url = await installation.start_gateway(ASYNCCHAT_AUTH="keys", ASYNCCHAT_WRITE_RATE=RATE)
    bounds = httpx2.Limits(max_connections=CONNECTIONS)
    async with (
        httpx2.AsyncClient(base_url=url, headers=quiet_key, timeout=60) as quiet,
        httpx2.AsyncClient(base_url=url, headers=flooding_key, timeout=60, limits=bounds) as flooding,
    ):
        for _ in range(WARM_UP):
            await _ask(quiet)
        alone = await _quietly(quiet, seconds)
        refused: list[int] = []
        await asked(database, QUEUED)
        floods = [asyncio.create_task(_flood(flooding, refused)) for _ in range(CONNECTIONS)]
        beside = await _quietly(quiet, seconds)
        queued = dict(await database.read(replies.live_by_tenant)).get(DEFAULT_TENANT, 0)
        for flood in floods:
            flood.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
    for name, values in (("alone", alone), ("beside", beside)):
        told = " ".join(f"p{100 * share:.0f} {percentile(values, share):.0f}" for share in (0.5, 0.95, 1.0))
        print(f"{name:<7} {len(values)} asks, {told} ms", flush=True)
    added = (percentile(beside, 0.95) - percentile(alone, 0.95)) / 1000
    print(f"flood   {queued} replies under way at the end, {len(refused)} asks refused")
    print(f"added   {added:.2f} s at p95; at most {MOST_ADDED_SECONDS:g} s are promised")


async def _main(seconds: float) -> None:
    print(f"{seconds:g} seconds each; {machine()}", flush=True)
    async with installed() as installation:
        database = Database(installation.database_url)
        database.start()
        try:
            await _measure(installation, database, seconds)
        finally:
            database.stop()


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]) if len(sys.argv) > 1 else 20))
