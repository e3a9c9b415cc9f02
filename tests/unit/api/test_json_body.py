"""Bodies are parsed, or refused with the reason."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from api import json_body
from api.errors import BodyError
from api.json_body import IS_WHOLE, MAX_DEPTH, MAX_MEMBERS, parse_object, read_object


def _refusal(body: bytes) -> BodyError:
    with pytest.raises(BodyError) as refused:
        parse_object(body)
    return refused.value


def test_an_object_is_parsed() -> None:
    assert parse_object(b' {"a": [1, 2.5, "\\u00e9", null, true]} ') == {"a": [1, 2.5, "é", None, True]}


def test_the_allowed_depth_and_width_are_taken() -> None:
    deep = b'{"a":' * (MAX_DEPTH - 1) + b"{}" + b"}" * (MAX_DEPTH - 1)
    assert parse_object(deep)
    assert _refusal(b'{"a":' + deep + b"}").status_code == 422
    wide = b",".join(b"1" for _ in range(MAX_MEMBERS))
    assert parse_object(b'{"a":[' + wide + b"]}")
    assert _refusal(b'{"a":[' + wide + b",1]}").status_code == 422


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"a": {"b/c": ["x", "\\u0000"]}}', "#/a/b~1c/1"),
        (b'{"a": "\\ud83d\\ude00", "b": "\\ud83d"}', "#/b"),
        (b'{"a": {"\\ude00": 1}}', "#/a"),
    ],
)
def test_text_that_cannot_be_stored_is_named(body: bytes, pointer: str) -> None:
    refused = _refusal(body)
    assert (refused.status_code, refused.pointer) == (422, pointer)


def test_an_escaped_backslash_is_no_nul() -> None:
    assert parse_object(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


def test_no_body_of_a_mebibyte_costs_much() -> None:
    """Generous bounds: what they rule out is time that grows with the square."""
    for body in (
        b'{"a":' + b"[" * 500_000,
        b'{"a":[' + b"[]," * 340_000 + b"[]]}",
        b'{"a":"' + b"\\ud800" * 170_000 + b'"}',
        b'{"a":"' + b"\\u0000" * 170_000 + b'"}',
    ):
        began = time.process_time()
        _refusal(body)
        assert time.process_time() - began < 5


def _request(pieces: list[bytes], **noted: Any) -> Request:
    """A request whose body comes in these pieces, each a turn of the loop later."""

    async def receive() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    headers = [(b"content-type", b"application/json")]
    app = SimpleNamespace(state=SimpleNamespace(settings=SimpleNamespace(max_body_bytes=100)))
    return Request({"type": "http", "headers": headers, "app": app, **noted}, receive)


@pytest.mark.anyio
async def test_only_a_body_that_is_still_to_come_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "BODY_SECONDS", 0)
    with pytest.raises(BodyError, match="not complete"):
        await read_object(_request([b'{"a":', b"1}"]))
    assert await read_object(_request([b'{"a":', b"1}"], **{IS_WHOLE: True})) == {"a": 1}
