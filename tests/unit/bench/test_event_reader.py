"""A stream is read as its documentation says: the benchmarks judge by it whether an answer is exact."""

from __future__ import annotations

import asyncio
import json

import pytest

from bench.event_reader import Event, told
from tests.fixtures.stream_server import stream_server


def _delta(text: str) -> Event:
    return "reply.delta", json.dumps({"reply_id": "reply_1", "text": text})


def _chunk(text: str) -> Event:
    return "", json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})


RESTARTED = ("reply.restarted", json.dumps({"reply_id": "reply_1", "attempt": 2}))
SNAPSHOT = ("snapshot", json.dumps({"reply": {"content": "so far"}}))
ENDED = ("reply.completed", json.dumps({"reply": {"content": "all"}}))


async def _read(events: list[Event]) -> str:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for name, data in events:
            block = f"{f'event: {name}' if name else ': unnamed'}\ndata: {data}\n\n".encode()
            writer.write(b"%x\r\n%b\r\n" % (len(block), block))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with stream_server(serve, "127.0.0.1") as port:
        return (await told(f"http://127.0.0.1:{port}/", {})).text


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([_delta("Hello "), _delta("you"), ENDED], "Hello you"),
        ([_delta("Hel"), RESTARTED, _delta("Hello"), ENDED], "Hello"),
        ([_delta("so "), SNAPSHOT, _delta(" good"), ENDED], "so far good"),
        ([_chunk("Hello "), _chunk("you"), ("", "[DONE]")], "Hello you"),
    ],
    ids=["deltas", "another try", "a snapshot after a gap", "chunks of OpenAI"],
)
def test_the_text_is_what_a_client_shows(events: list[Event], text: str) -> None:
    assert asyncio.run(_read(events)) == text
