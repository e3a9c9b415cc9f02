"""Reads an event stream as cheaply as this interpreter can, so that a hundred of them do not measure the reader."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

Event = tuple[str, str]
# What they tell stands in the place of all that was told before: another try, or the state where some was missed.
INSTEAD = ("reply.restarted", "snapshot")


@asynccontextmanager
async def opened(url: str, body: object = None) -> AsyncIterator[AsyncIterator[Event]]:
    """The events, name and data, of what is got from there, or posted with this body."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port), limit=1 << 20)
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{'GET' if body is None else 'POST'} /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 20"):
            raise ConnectionError(f"{url} answers {answer.splitlines()[0]!r}")
        yield _events(reader)
    finally:
        writer.close()


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[Event]:
    kept = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        kept += (await reader.readexactly(size + 2))[:-2]
        *blocks, kept = kept.split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line)
            yield fields.get("event", ""), fields.get("data", "")


@dataclass(frozen=True, slots=True)
class Told:
    """A whole answer: milliseconds to its first piece of text and to its end, and the text."""

    first_ms: float
    whole_ms: float
    text: str


async def told(url: str, body: object) -> Told:
    """Posts there and reads to the end, in this project's events, as docs/api.md has them read, or OpenAI's chunks."""
    began = time.perf_counter()
    first_ms = 0.0
    pieces: list[str] = []
    async with opened(url, body) as events:
        async for name, data in events:
            if name in INSTEAD:
                pieces.clear()
            piece = _piece(name, data)
            if piece and not first_ms:
                first_ms = 1000 * (time.perf_counter() - began)
            pieces.append(piece)
    return Told(first_ms, 1000 * (time.perf_counter() - began), "".join(pieces))


def _piece(name: str, data: str) -> str:
    if name == "reply.delta":
        return str(json.loads(data)["text"])
    if name == "snapshot":
        return str(json.loads(data)["reply"]["content"] or "")
    if name or not data.startswith("{"):
        return ""
    chunk: dict[str, Any] = json.loads(data)
    return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", []))
