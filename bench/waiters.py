"""Waiters: what each costs a gateway in memory, and whether all are answered.

`python -m bench.waiters [WAITERS]`: long waits, then streams, on one gateway, beside an ASGI application that only
holds requests. Every reply then ends, and the time until each waiter has its answer is told.
"""

from __future__ import annotations

import asyncio
import sys
import time

from bench.installation import Installation, installed, machine, percentile, resident_bytes, until_answers
from bench.rows import claimed_replies
from cli.child_commands import python_module
from cli.ports import free_port
from shared import redis_client
from shared.clock import now_ms
from shared.database.access import Database
from shared.ending import Ending, Sent
from shared.notices import Notifier
from shared.reply_events import Cursor, moved
from shared.reply_status import ReplyStatus
from shared.store import moves
from shared.store.claims import Claim

AT_ONCE = 100
SETTLE_SECONDS = 3.0
# How many replies end each second: the rate of the target.
WAKES_A_SECOND = 1000


async def _ask(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


async def _hold(
    name: str, pid: int, port: int, paths: list[str]
) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    before = resident_bytes(pid)
    held = []
    for start in range(0, len(paths), AT_ONCE):
        held += await asyncio.gather(*(_ask(port, path) for path in paths[start : start + AT_ONCE]))
    await asyncio.sleep(SETTLE_SECONDS)
    grown = resident_bytes(pid) - before
    print(f"{name:<10} {len(held)} held, {grown / len(held) / 1000:.1f} kB each")
    return held


async def _bare(installation: Installation, waiters: int) -> None:
    port = free_port()
    command = python_module("uvicorn", "bench.bare_waiting:app", "--port", str(port), "--log-level", "error")
    process = installation.start(*command, name="bare")
    await until_answers(f"http://127.0.0.1:{port}/readyz")
    for _, writer in await _hold("bare", process.pid, port, ["/"] * waiters):
        writer.close()


async def _end(database: Database, notifier: Notifier, claim: Claim) -> float:
    """Ends a reply as a worker would; returns when it was told."""
    cursor = Cursor(claim.token, 1)
    ending = Ending(ReplyStatus.COMPLETED, "Done.")
    await database.write(moves.finish, claim, ending, now=now_ms(), sent=Sent(str(cursor), []))
    notifier.tell_event(claim.conversation_id, moved(claim.reply_id, cursor, ReplyStatus.COMPLETED))
    notifier.announce(claim.conversation_id)
    return time.perf_counter()


async def _ours(installation: Installation, waiters: int, *, path: str, mark: bytes, name: str) -> None:
    database = Database(installation.database_url)
    database.start()
    async with claimed_replies(database, waiters) as claims:
        process, url = await installation.start_gateway(ASYNCCHAT_MAX_WAIT_SECONDS="600")
        port = int(url.rpartition(":")[2])
        held = await _hold(name, process.pid, port, [path.format(claim.reply_id) for claim in claims])
        redis = redis_client.connect(installation.settings().client_redis_url)
        notifier = Notifier(redis)
        notifier.start()

        async def answered(reader: asyncio.StreamReader) -> float:
            await reader.readuntil(mark)
            return time.perf_counter()

        waiting = [asyncio.create_task(answered(reader)) for reader, _ in held]
        told = []
        began = time.perf_counter()
        for number, claim in enumerate(claims):
            pause = began + number / WAKES_A_SECOND - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            told.append(asyncio.create_task(_end(database, notifier, claim)))
        late = [1000 * (await got - await said) for got, said in zip(waiting, told, strict=True)]
        late_p50, late_p99 = percentile(late, 0.5), percentile(late, 0.99)
        print(f"{name:<10} all {len(late)} answered, after their end by p50 {late_p50:.1f} p99 {late_p99:.1f} ms")
        for _, writer in held:
            writer.close()
        await notifier.stop()
    database.stop()


async def _main(waiters: int) -> None:
    print(f"{waiters} at once; {machine()}")
    async with installed() as installation:
        await _bare(installation, waiters)
    async with installed() as installation:
        await _ours(installation, waiters, path="/replies/{}/?wait=600", mark=b'"status":"completed"', name="waits")
    async with installed() as installation:
        await _ours(installation, waiters, path="/replies/{}/events/", mark=b"event: reply.completed", name="streams")


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 9_000))
