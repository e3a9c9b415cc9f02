"""Waiters: what each costs a gateway in memory, and whether all are answered.

Long waits, then streams, on one gateway, beside an ASGI application that only holds requests. Every reply then ends,
and the time until each waiter has its answer is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx2

from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_most, in_turn, percentile
from bench.installation import Installation, Served, cpu_seconds, installed, resident_bytes, until
from bench.rows import claimed_replies
from cli.child_commands import python_module
from cli.file_limit import raise_file_limit
from shared.clock import now_ms
from shared.database.access import Database
from shared.ending import Ending, Sent
from shared.interpreter import hand_over_quickly
from shared.messaging import redis_client
from shared.messaging.notices import Notifier
from shared.messaging.reply_events import Cursor, moved, started
from shared.reply_status import ReplyStatus
from shared.store import moves
from shared.store.claims import Claim

# What a gateway and a bench need beside the connections.
OTHER_FILES = 500
# Processes that hold the clients' ends, so that the one that ends the replies, and beats, does nothing else.
CLIENT_PROCESSES = 2
# How many replies end each second, the rate of the target, and how many at most are on their way at once: more would
# only wait in the writer's queue, and the beat behind them.
WAKES_A_SECOND = 1000
ENDING_AT_ONCE = 64
# How many beginnings are told in one round trip, and how long it is given.
BEGINNING_AT_ONCE = 500
BEGINNING_PAUSE_SECONDS = 0.05
# A process that used less than this share of a second has taken up what it was sent.
QUIET_SHARE = 0.25
QUIET_SECONDS = 3
QUIET_WITHIN_SECONDS = 120.0
# What a gateway tells of those who wait or listen there.
MEMBERS = "asyncchat_hub_members "
# After the last end.
ANSWERED_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """One run: memory of each, how late each was woken, and the CPU of the gateway for each."""

    kilobytes: float
    late_ms: Sequence[float] = ()
    cpu_us: float = 0.0


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
async def _clients(installation: Installation, served: Served, mark: str) -> AsyncIterator[Clients]:
    port = served.url.rpartition(":")[2]
    processes = [
        await asyncio.create_subprocess_exec(
            *python_module("bench.processes.waiting_clients", port, mark),
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
            raise TimeoutError("the gateway does not come to rest")


async def _until_held(served: Served, count: int) -> None:
    """Waits until a gateway has taken up so many: on a busy machine one that is behind may look as if it rested."""
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:

        async def are_held() -> bool:
            told = (await http.get("/metrics")).text
            return any(line.startswith(MEMBERS) and float(line.split()[1]) >= count for line in told.splitlines())

        await until(are_held, what=f"{count} waiters", seconds=QUIET_WITHIN_SECONDS)


async def _hold(served: Served, clients: Clients, paths: list[str], *, is_gateway: bool) -> float:
    """How many kB of the process each of them takes."""
    before = resident_bytes(served.pid)
    await clients.ask(paths)
    if is_gateway:
        await _until_held(served, len(paths))
    await _until_quiet(served.pid)
    return (resident_bytes(served.pid) - before) / len(paths) / 1000


async def _bare(waiters: int, *, app: str) -> Held:
    async with installed() as installation:
        served = await installation.start_app(app)
        async with _clients(installation, served, "never") as clients:
            return Held(await _hold(served, clients, ["/"] * waiters, is_gateway=False))


async def _begin_all(notifier: Notifier, claims: list[Claim]) -> None:
    """Tells that each has begun, as a worker would: without it each stream would miss an event, and look for it."""
    for start in range(0, len(claims), BEGINNING_AT_ONCE):
        for claim in claims[start : start + BEGINNING_AT_ONCE]:
            notifier.tell_event(claim.conversation_id, started(claim.reply_id, claim.token, claim.attempt))
        await asyncio.sleep(BEGINNING_PAUSE_SECONDS)


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


async def _own(waiters: int, database_url: str | None, *, path: str, mark: str) -> Held:
    async with (
        installed(database_url) as installation,
        installation.database() as database,
        claimed_replies(database, waiters) as claims,
    ):
        served = await installation.start_gateway(
            ASYNCCHAT_MAX_WAIT_SECONDS="3600",
            ASYNCCHAT_MAX_STREAMS=str(waiters),
            ASYNCCHAT_MAX_AT_ONCE_OF_KEY=str(2 * waiters),
            ASYNCCHAT_MAX_AT_ONCE_OF_TENANT=str(2 * waiters),
        )
        redis = redis_client.connect(installation.settings().client_redis_url)
        notifier = Notifier(redis)
        notifier.start()
        await _begin_all(notifier, claims)
        async with _clients(installation, served, mark) as clients:
            paths = [path.format(claim.reply_id) for claim in claims]
            kilobytes = await _hold(served, clients, paths, is_gateway=True)
            before = cpu_seconds(served.pid)
            told = await _end_all(database, notifier, claims)
            read = await clients.read_at()
            spent = cpu_seconds(served.pid) - before
        await notifier.stop()
        await redis.aclose()
    late = [(got - said) / 1e6 for got, said in zip(read, told, strict=True) if got is not None]
    if len(late) < len(told):
        raise TimeoutError(f"{len(told) - len(late)} of {len(told)} waiters got no answer")
    return Held(kilobytes, late, 1e6 * spent / len(told))


async def run(scope: Scope, *, baseline: str = "bare_waiting:app") -> list[Row]:
    """A new installation each time, since a reply ends once. `baseline` is an ASGI app of bench.processes."""
    hand_over_quickly()
    waiters = min(scope.choose(10_000, 200), raise_file_limit() - OTHER_FILES)
    path, mark = "/replies/{}/?wait=3600", '"status":"completed"'
    events, ended = "/replies/{}/events/", "event: reply.completed"
    ways = {
        "bare": functools.partial(_bare, waiters, app=baseline),
        "waits": functools.partial(_own, waiters, scope.database_url, path=path, mark=mark),
        "streams": functools.partial(_own, waiters, scope.database_url, path=events, mark=ended),
    }
    found = await in_turn(scope.runs_of(2), ways)
    rows = [Row("requests held at once", "", [waiters])]
    for name, runs in found.items():
        rows.append(Row(f"{name}, memory of each", "kB", [each.kilobytes for each in runs]))
        if name != "bare":
            rows += [
                Row(f"{name}, woken after, p50", "ms", [percentile(each.late_ms, 0.5) for each in runs]),
                Row(f"{name}, woken after, p99", "ms", [percentile(each.late_ms, 0.99) for each in runs]),
                Row(f"{name}, gateway CPU of each", "µs", [each.cpu_us for each in runs]),
            ]
    return rows


BENCHMARK = Benchmark(
    "waiters",
    f"10,000 waiting requests on one gateway, woken {WAKES_A_SECOND} a second, beside an app that only holds them",
    run,
    {
        "waits, memory of each": at_most(35, "kB"),
        "streams, memory of each": at_most(35, "kB"),
        "waits, woken after, p50": at_most(2, "ms"),
        "streams, woken after, p50": at_most(2, "ms"),
    },
)

if __name__ == "__main__":
    run_command(BENCHMARK)
