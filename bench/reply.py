"""A turn and its reply: what they cost a worker, a gateway, Redis and the database.

So many at once, each in a conversation of its own, each with a client that waits for it; 41 tokens from the demo model
over two seconds. What the worker's part is beside the least that could do it, `bench.reply_cpu` tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
from redis import Redis
from sqlalchemy import text

from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope
from bench.installation import LOAD_MODEL, Installation, Served, cpu_seconds, installed, resident_bytes, until_workers
from shared.database.engine import open_engine, parse_url

WAIT_SECONDS = 50
# What PostgreSQL counts of itself.
COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
LOG_BYTES = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"
SIZE_BYTES = "SELECT pg_database_size(current_database())"
SQLITE_BYTES = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"


async def _turn(http: httpx2.AsyncClient) -> None:
    """Creates a conversation, asks, and waits for the reply."""
    conversation_id = (await http.post("/conversations/", json={})).json()["id"]
    asked = await http.post(
        f"/conversations/{conversation_id}/ask-message/", json={"content": "Hello", "model": LOAD_MODEL}
    )
    reply_id = asked.json()["replies"][0]["id"]
    reply = (await http.get(f"/replies/{reply_id}/", params={"wait": WAIT_SECONDS})).json()
    if reply["status"] != "completed":
        raise RuntimeError(f"{reply_id} is {reply['status']}")


Counters = dict[tuple[str, str], Callable[[], float]]


def _of_database(database_url: str) -> Counters:
    """What the database tells, by name and unit."""
    url = parse_url(database_url)
    engine = open_engine(url, read_only=True)

    def ask(query: str) -> Callable[[], float]:
        def answer() -> float:
            with engine.connect() as connection, connection.begin():
                return float(connection.execute(text(query)).scalar_one())

        return answer

    if url.get_backend_name() == "sqlite":
        return {("growth of the database", "bytes"): ask(SQLITE_BYTES)}
    return {
        ("commits, reading ones too", ""): ask(COMMITS),
        ("write-ahead log", "bytes"): ask(LOG_BYTES),
        ("growth of the database", "bytes"): ask(SIZE_BYTES),
    }


def _counters(installation: Installation, worker: int, gateway: Served) -> Counters:
    redis = Redis.from_url(installation.settings().client_redis_url)

    def redis_us() -> float:
        said = redis.info("cpu")
        return 1e6 * (float(said["used_cpu_user"]) + float(said["used_cpu_sys"]))

    return {
        ("CPU of the worker", "ms"): lambda: 1000 * cpu_seconds(worker),
        ("CPU of the gateway, three requests", "ms"): lambda: 1000 * cpu_seconds(gateway.pid),
        ("CPU of Redis", "µs"): redis_us,
        **_of_database(installation.database_url),
    }


def _memory(when: str, worker: int, gateway: Served) -> list[Row]:
    pids = {"worker": worker, "gateway": gateway.pid}
    return [Row(f"memory of the {name}, {when}", "MB", [resident_bytes(pid) / 1e6]) for name, pid in pids.items()]


async def run(scope: Scope) -> list[Row]:
    """All counters before and after each run, by the number of turns."""
    turns, runs = scope.choose(200, 50), scope.runs_of(3)
    limits = httpx2.Limits(max_connections=turns, max_keepalive_connections=turns)
    async with installed(scope.database_url) as installation:
        base_url = await installation.start_demo()
        gateway = await installation.start_gateway()
        worker = installation.start_worker(base_url, slots=turns).pid
        await until_workers(gateway, 1)
        counters = _counters(installation, worker, gateway)
        found: dict[tuple[str, str], list[float]] = {key: [] for key in counters}
        async with httpx2.AsyncClient(base_url=gateway.url, timeout=120, limits=limits) as http:
            await _turn(http)
            memory = _memory("idle", worker, gateway)
            for _ in range(runs):
                before = {key: count() for key, count in counters.items()}
                await asyncio.gather(*(_turn(http) for _ in range(turns)))
                for key, count in counters.items():
                    found[key].append((count() - before[key]) / turns)
        memory += _memory("after", worker, gateway)
    return [*(Row(f"{name}, a turn", unit, values) for (name, unit), values in found.items()), *memory]


BENCHMARK = Benchmark("reply", "what a turn of 41 tokens costs a worker, a gateway, Redis and the database", run)

if __name__ == "__main__":
    run_command(BENCHMARK)
