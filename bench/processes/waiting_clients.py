"""Clients of one gateway that each ask for one path and wait for a mark in its answer.

`python -m bench.processes.waiting_clients PORT MARK` reads a JSON list of paths from its standard input and prints a
line once all are asked. When all have their mark, or have lost their connection, or at the next line, it prints a JSON
list of the instants at which each read its mark: nanoseconds of the machine's monotonic clock, null for who has not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from cli.file_limit import raise_file_limit

# So many new ones at a time, this far apart: no faster than a gateway takes them up.
AT_ONCE = 50
PAUSE_SECONDS = 0.1


class _Client(asyncio.Protocol):
    """One connection. The clients count down together to the moment when nobody waits any more."""

    __slots__ = ("_count", "_is_waiting", "_mark", "_request", "_tail", "read_at")

    def __init__(self, path: str, mark: bytes, count: Countdown) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._mark = mark
        self._count = count
        self._tail = b""
        self._is_waiting = True
        self.read_at: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        seen = self._tail + data
        self._tail = seen[-len(self._mark) :]
        if self._is_waiting and self._mark in seen:
            self.read_at = time.monotonic_ns()
            self._end()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._is_waiting:
            self._end()

    def _end(self) -> None:
        self._is_waiting = False
        self._count.one_less()


class Countdown:
    """Tells when so many things have happened."""

    def __init__(self, left: int) -> None:
        self._left = left
        self.is_over = asyncio.Event()

    def one_less(self) -> None:
        """One of them has happened."""
        self._left -= 1
        if self._left <= 0:
            self.is_over.set()


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def _main(port: int, mark: bytes) -> None:
    paths = json.loads(await _line())
    loop = asyncio.get_running_loop()
    count = Countdown(len(paths))
    clients = [_Client(path, mark, count) for path in paths]
    for start in range(0, len(clients), AT_ONCE):
        await asyncio.gather(
            *(
                loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
                for client in clients[start : start + AT_ONCE]
            )
        )
        await asyncio.sleep(PAUSE_SECONDS)
    _say(len(clients))
    told = asyncio.create_task(_line())
    over = asyncio.create_task(count.is_over.wait())
    await asyncio.wait([told, over], return_when=asyncio.FIRST_COMPLETED)
    _say([client.read_at for client in clients])
    await told


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(_main(int(sys.argv[1]), sys.argv[2].encode()))
