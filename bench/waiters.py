"""Waiters: what each costs a gateway in memory, and whether all are answered.

`python -m bench.waiters [WAITERS]`: long waits, then streams, on one gateway, beside an ASGI application that only
holds requests. Every reply then ends, and the time until each waiter has its answer is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

from bench.installation import (
    Installation,
    cpu_seconds,
    installed,
    machine,
    percentile,
    resident_bytes,
    until_answers,
)
from bench.rows import claimed_replies
from cli.child_commands import python_module
from cli.file_limit import raise_file_limit
from cli.ports import free_port
from shared.clock import now_ms
from shared.database.access import Database
from shared.ending import Ending, Sent
from shared.interpreter import hand_over_quickly
from shared.messaging import redis_client
from shared.messaging.notices import Notifier
from shared.messaging.reply_events import Cursor, moved
from shared.reply_status import ReplyStatus
from shared.store import moves
from shared.store.claims import Claim

WAITERS = 10_000
# What a gateway and a bench need beside the connections.
OTHER_FILES = 500
# Processes that hold the clients' ends, so that the one that ends the replies, and beats, does nothing else.
CLIENT_PROCESSES = 2
# How many replies end each second, the rate of the target, and how many at most are on their way at once: more would
# only wait in the writer's queue, and the beat behind them.
WAKES_A_SECOND = 1000
ENDING_AT_ONCE = 64
# A process that used less than this share of a second has taken up what it was sent.
QUIET_SHARE = 0.25
QUIET_SECONDS = 3
QUIET_WITHIN_SECONDS = 120.0
# After the last end.
ANSWERED_WITHIN_SECONDS = 60.0
# Of a log that should be empty.
MOST_LINES = 5


class Clients:
    """Child processes that hold waiting connections."""

    def __init__(self, processes: list[Process]) -> None:
        self._processes = processes

    async def ask(self, paths: list[str]) -> None:
        """Every path, on a connection of its own."""
        parts = [paths[number :: len(self._processes)] for number in range(len(self._processes))]
        for process, part in zip(self._processes, parts, strict=True):
            _write(process, json.dumps(part))
        await asyncio.gather(*(_line(process) for process in self._processes))

    async def read_at(self) -> list[int | None]:
        """When each path's answer came, in the order of the paths; None for what did not come in time."""
        lines = [asyncio.ensure_future(_line(process)) for process in self._processes]
        await asyncio.wait(lines, timeout=ANSWERED_WITHIN_SECONDS)
        for process in self._processes:
            _write(process, "")
        parts = [json.loads(await line) for line in lines]
        return [parts[number % len(parts)][number // len(parts)] for number in range(sum(len(part) for part in parts))]


def _write(process: Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


@contextlib.asynccontextmanager
async def _clients(installation: Installation, port: int, mark: str) -> AsyncIterator[Clients]:
    processes = [
        await asyncio.create_subprocess_exec(
            *python_module("bench.waiting_clients", str(port), mark),
            env=installation.environment,
            stdin=PIPE,
            stdout=PIPE,
            limit=1 << 26,
        )
        for _ in range(CLIENT_PROCESSES)
    ]
    try:
        yield Clients(processes)
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # It has ended.
                process.kill()
            await process.wait()


async def _until_quiet(pid: int) -> None:
    deadline = time.monotonic() + QUIET_WITHIN_SECONDS
    quiet = 0
    while quiet < QUIET_SECONDS:
        before = cpu_seconds(pid)
        await asyncio.sleep(1)
        quiet = quiet + 1 if cpu_seconds(pid) - before < QUIET_SHARE else 0
        if time.monotonic() > deadline:
            sys.exit("the gateway does not come to rest")


async def _hold(name: str, pid: int, clients: Clients, paths: list[str]) -> None:
    before = resident_bytes(pid)
    await clients.ask(paths)
    await _until_quiet(pid)
    grown = resident_bytes(pid) - before
    print(f"{name:<10} {len(paths)} held, {grown / len(paths) / 1000:.1f} kB each", flush=True)


async def _bare(installation: Installation, waiters: int) -> None:
    port = free_port()
    command = python_module("uvicorn", "bench.bare_waiting:app", "--port", str(port), "--log-level", "error")
    process = installation.start(*command, name="bare")
    await until_answers(f"http://127.0.0.1:{port}/readyz")
    async with _clients(installation, port, "never") as clients:
        await _hold("bare", process.pid, clients, ["/"] * waiters)


async def _end(database: Database, notifier: Notifier, claim: Claim) -> int:
    """Ends a reply as a worker would; returns when it was told."""
    cursor = Cursor(claim.token, 1)
    ending = Ending(ReplyStatus.COMPLETED, "Done.")
    await database.write(moves.finish, claim, ending, now=now_ms(), sent=Sent(str(cursor), []))
    notifier.tell_event(claim.conversation_id, moved(claim.reply_id, cursor, ReplyStatus.COMPLETED))
    notifier.announce(claim.conversation_id)
    return time.monotonic_ns()


async def _end_all(database: Database, notifier: Notifier, claims: list[Claim]) -> list[int]:
    """When each was told."""
    room = asyncio.Semaphore(ENDING_AT_ONCE)

    async def end(claim: Claim) -> int:
        try:
            return await _end(database, notifier, claim)
        finally:
            room.release()

    ending = []
    began = time.monotonic()
    for number, claim in enumerate(claims):
        pause = began + number / WAKES_A_SECOND - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        await room.acquire()
        ending.append(asyncio.create_task(end(claim)))
    return await asyncio.gather(*ending)


async def _ours(installation: Installation, waiters: int, *, path: str, mark: str, name: str) -> None:
    database = Database(installation.database_url)
    database.start()
    async with claimed_replies(database, waiters) as claims:
        process, url = await installation.start_gateway(
            ASYNCCHAT_MAX_WAIT_SECONDS="3600", ASYNCCHAT_MAX_STREAMS=str(waiters)
        )
        port = int(url.rpartition(":")[2])
        redis = redis_client.connect(installation.settings().client_redis_url)
        notifier = Notifier(redis)
        notifier.start()
        async with _clients(installation, port, mark) as clients:
            await _hold(name, process.pid, clients, [path.format(claim.reply_id) for claim in claims])
            before = cpu_seconds(process.pid)
            told = await _end_all(database, notifier, claims)
            read = await clients.read_at()
            spent = cpu_seconds(process.pid) - before
        await notifier.stop()
        await redis.aclose()
    database.stop()
    for line in (installation.folder / f"api-{port}.log").read_text().splitlines()[:MOST_LINES]:
        print(f"{name:<10} the gateway says: {line}")
    _report(name, told, read, spent_seconds=spent)


def _report(name: str, told: list[int], read: list[int | None], *, spent_seconds: float) -> None:
    late = [(got - said) / 1e6 for got, said in zip(read, told, strict=True) if got is not None]
    if len(late) < len(told):
        sys.exit(f"{len(told) - len(late)} of {len(told)} waiters got no answer")
    rate = len(told) / ((max(told) - min(told)) / 1e9)
    print(
        f"{name:<10} all {len(late)} answered, {rate:.0f} a second, after their end by p50 {percentile(late, 0.5):.1f} "
        f"p99 {percentile(late, 0.99):.1f} ms, gateway CPU {1e6 * spent_seconds / len(told):.0f} µs each",
        flush=True,
    )


async def _main(waiters: int) -> None:
    print(f"{waiters} at once; {machine()}", flush=True)
    async with installed() as installation:
        await _bare(installation, waiters)
    async with installed() as installation:
        await _ours(installation, waiters, path="/replies/{}/?wait=3600", mark='"status":"completed"', name="waits")
    async with installed() as installation:
        await _ours(installation, waiters, path="/replies/{}/events/", mark="event: reply.completed", name="streams")


if __name__ == "__main__":
    files = raise_file_limit()
    hand_over_quickly()
    asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else min(WAITERS, files - OTHER_FILES)))
