"""The token bus: what a token costs a gateway, and how long it takes from a worker to a client.

`python -m bench.token_bus [STREAMS] [TOKENS_A_SECOND] [SECONDS]`: many streams on one gateway, spoken into by one
process, beside a bare gateway that only forwards.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process

from bench.installation import Installation, cpu_seconds, installed, machine, percentile, until_answers
from cli.child_commands import python_module
from cli.ports import free_port

WARM_SECONDS = 1.0


class Reader:
    """One client: it counts tokens and how late each is."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, url: str) -> None:
        """Opens the stream and reads on in a task."""
        host, _, path = url.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        reader, self._writer = await asyncio.open_connection(name, int(port))
        self._writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        self._task = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.startswith(b"data: ") and b'"text"' in line:
                now = time.monotonic_ns()
                self.late += [(now - int(stamp)) / 1e6 for stamp in json.loads(line[6:])["text"].split()]

    def close(self) -> None:
        self._task.cancel()
        if self._writer is not None:
            self._writer.close()


async def _speaker(
    installation: Installation, streams: int, rate: float, seconds: float
) -> tuple[Process, list[list[str]]]:
    process = await asyncio.create_subprocess_exec(
        *python_module("bench.publisher", str(streams), str(rate), str(seconds)),
        env=installation.environment,
        stdin=PIPE,
        stdout=PIPE,
        limit=1 << 26,
    )
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())


async def _measure(name: str, gateway_pid: int, urls: list[str], speaker: Process, seconds: float) -> None:
    readers = [Reader() for _ in urls]
    for start in range(0, len(urls), 100):
        pairs = zip(readers[start : start + 100], urls[start : start + 100], strict=True)
        await asyncio.gather(*(reader.connect(url) for reader, url in pairs))
    await asyncio.sleep(WARM_SECONDS)
    assert speaker.stdin is not None
    assert speaker.stdout is not None
    before = cpu_seconds(gateway_pid)
    speaker.stdin.write(b"\n")
    said = int(json.loads(await speaker.stdout.readline()))
    await asyncio.sleep(WARM_SECONDS)
    spent = cpu_seconds(gateway_pid) - before
    late = [value for reader in readers for value in reader.late]
    print(
        f"{name:<12} {said / seconds:>7.0f} tokens/s said, {len(late)} of {said} read, gateway CPU "
        f"{1e6 * spent / max(1, len(late)):.0f} µs a token, late by p50 {percentile(late, 0.5):.1f} "
        f"p99 {percentile(late, 0.99):.1f} ms"
    )
    for reader in readers:
        reader.close()
    speaker.stdin.write(b"\n")
    await speaker.wait()


async def _main(streams: int, rate: float, seconds: float) -> None:
    print(f"{streams} streams, {rate:.0f} tokens/s for {seconds:.0f} s; {machine()}")
    for name in ("bare", "asyncchat", "bare", "asyncchat"):
        async with installed() as installation:
            speaker, ids = await _speaker(installation, streams, rate, seconds)
            if name == "bare":
                port = free_port()
                command = python_module(
                    "uvicorn", "bench.bare_gateway:app", "--port", str(port), "--log-level", "error"
                )
                redis_url = installation.settings().client_redis_url
                process = installation.start(*command, name="bare", BARE_REDIS_URL=redis_url)
                url = f"http://127.0.0.1:{port}"
                await until_answers(f"{url}/readyz")
                urls = [f"{url}/conversations/{conversation_id}/events/" for conversation_id, _ in ids]
            else:
                process, url = await installation.start_gateway()
                urls = [f"{url}/replies/{reply_id}/events/" for _, reply_id in ids]
            await _measure(name, process.pid, urls, speaker, seconds)


if __name__ == "__main__":
    given = [float(value) for value in sys.argv[1:]]
    asyncio.run(_main(int(given[0]) if given else 1000, *(given[1:2] or [5000.0]), *(given[2:3] or [10.0])))
