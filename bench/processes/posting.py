"""Clients that POST one message after the other, each on a connection of its own.

`python -m bench.processes.posting HOST PORT CONNECTIONS SECONDS`, the paths as JSON on standard input; prints
how many were accepted and how long each took, in milliseconds, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

BODY = json.dumps({"content": "What is 12 * 7? Think it over and tell me in a sentence."}).encode()


async def _client(host: str, port: int, paths: list[str], *, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection(host, port)
    heads = [
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n".encode()
        + BODY
        for path in paths
    ]
    took: list[float] = []
    while (began := time.perf_counter()) < until:
        writer.write(heads[len(took) % len(heads)])
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 202"):
            sys.exit(f"not accepted: {head!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        took.append(1000 * (time.perf_counter() - began))
    writer.close()
    return took


async def _main(host: str, port: int, connections: int, seconds: float) -> None:
    paths = json.loads(sys.stdin.read())
    until = time.perf_counter() + seconds
    clients = (_client(host, port, paths[number::connections], until=until) for number in range(connections))
    took = [value for each in await asyncio.gather(*clients) for value in each]
    print(json.dumps(took))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
