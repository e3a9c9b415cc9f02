"""A turn and its reply: what they cost a worker, a gateway, Redis and the database.

`python -m bench.reply [REPLIES] [DATABASE_URL]`: so many at once, each in a conversation of its own, each with a client
that waits for it; 41 tokens from the demo model over two seconds. Without a URL it is a SQLite file.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Callable

import httpx2
from redis import Redis
from sqlalchemy import text

from bench.installation import Installation, cpu_seconds, installed, machine, resident_bytes
from shared.database.engine import open_engine, parse_url

RUNS = 3
MODEL = "demo-load"
WAIT_SECONDS = 50
TURN = "POST /conversations/, ask, ?wait="
# What PostgreSQL counts of itself.
COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
LOG_BYTES = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"
SIZE_BYTES = "SELECT pg_database_size(current_database())"
SQLITE_BYTES = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"


async def _turn(http: httpx2.AsyncClient) -> None:
    """Ends the benchmark where the reply did not complete."""
    conversation_id = (await http.post("/conversations/", json={})).json()["id"]
    asked = await http.post(f"/conversations/{conversation_id}/ask-message/", json={"content": "Hello", "model": MODEL})
    reply_id = asked.json()["replies"][0]["id"]
    reply = (await http.get(f"/replies/{reply_id}/", params={"wait": WAIT_SECONDS})).json()
    if reply["status"] != "completed":
        sys.exit(f"{reply_id} is {reply['status']}")


def _asked_of(database_url: str) -> dict[str, Callable[[], float]]:
    """What the database tells, by the unit in which it is printed."""
    url = parse_url(database_url)
    engine = open_engine(url, read_only=True)

    def ask(query: str) -> Callable[[], float]:
        def answer() -> float:
            with engine.connect() as connection, connection.begin():
                return float(connection.execute(text(query)).scalar_one())

        return answer

    if url.get_backend_name() == "sqlite":
        return {"bytes of database": ask(SQLITE_BYTES)}
    return {
        "commits, reading ones too": ask(COMMITS),
        "bytes of write-ahead log": ask(LOG_BYTES),
        "bytes of database": ask(SIZE_BYTES),
    }


def _counters(installation: Installation, worker: int, gateway: int) -> dict[str, Callable[[], float]]:
    redis = Redis.from_url(installation.settings().client_redis_url)

    def redis_us() -> float:
        said = redis.info("cpu")
        return 1e6 * (float(said["used_cpu_user"]) + float(said["used_cpu_sys"]))

    return {
        "ms of CPU of the worker": lambda: 1000 * cpu_seconds(worker),
        f"ms of CPU of the gateway ({TURN})": lambda: 1000 * cpu_seconds(gateway),
        "µs of CPU of Redis": redis_us,
        **_asked_of(installation.database_url),
    }


async def _main(replies: int, database_url: str | None) -> None:
    print(f"{replies} replies at once, {RUNS} runs; {machine()}")
    limits = httpx2.Limits(max_connections=replies, max_keepalive_connections=replies)
    async with installed(database_url) as installation:
        _, base_url = await installation.start_demo()
        worker = installation.start_worker(base_url, slots=replies)
        gateway, url = await installation.start_gateway()
        counters = _counters(installation, worker.pid, gateway.pid)
        found: dict[str, list[float]] = {name: [] for name in counters}
        async with httpx2.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
            await _turn(http)
            _tell_memory("idle", worker.pid, gateway.pid)
            for _ in range(RUNS):
                before = {name: count() for name, count in counters.items()}
                await asyncio.gather(*(_turn(http) for _ in range(replies)))
                for name, count in counters.items():
                    found[name].append((count() - before[name]) / replies)
        _tell_memory("after", worker.pid, gateway.pid)
    for name, values in found.items():
        print(f"{statistics.median(values):>8.1f} {name} ({min(values):.1f}-{max(values):.1f})")


def _tell_memory(when: str, worker: int, gateway: int) -> None:
    print(f"{when}: worker {resident_bytes(worker) >> 20} MiB, gateway {resident_bytes(gateway) >> 20} MiB")


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, sys.argv[2] if len(sys.argv) > 2 else None))
