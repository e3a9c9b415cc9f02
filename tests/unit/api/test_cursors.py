"""Cursors come back as they went out, or not at all."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
import pytest

from api.cursors import (
    InvalidCursor,
    conversation_cursor,
    id_cursor,
    message_cursor,
    read_conversation_cursor,
    read_id_cursor,
    read_message_cursor,
)

CONVERSATION = "conv_01m8376nm1zqqnsr0dt18yp372"
REPLY = "reply_01m8376nm1zqqnsr0dt18yp372"


def _forged(*position: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode()


def test_a_cursor_is_read_as_it_was_made() -> None:
    made = conversation_cursor(1_769_860_800_000, CONVERSATION)
    assert read_conversation_cursor(made, parameter="after") == (1_769_860_800_000, CONVERSATION)
    assert read_message_cursor(message_cursor(7, 0), parameter="after") == (7, 0)
    assert read_id_cursor("reply", id_cursor("reply", REPLY), parameter="after") == REPLY


@pytest.mark.parametrize(
    ("read", "cursor"),
    [
        (read_message_cursor, id_cursor("reply", REPLY)),
        (read_conversation_cursor, message_cursor(1, 0)),
        (partial(read_id_cursor, "reply"), _forged("reply", CONVERSATION)),
        (partial(read_id_cursor, "reply"), _forged("reply", 7)),
        (partial(read_id_cursor, "reply"), _forged("reply", REPLY, REPLY)),
        (read_message_cursor, _forged("m", True, 0)),
        (read_message_cursor, _forged("m", 1.5, 0)),
        (read_message_cursor, _forged("m", -1, 0)),
        (read_message_cursor, _forged("m", 2**31, 0)),
        (read_message_cursor, _forged("m", [1], 0)),
        (read_message_cursor, _forged()),
        (read_conversation_cursor, _forged("c", 1, "'; drop table conversations; --")),
        (read_conversation_cursor, base64.urlsafe_b64encode(b"\xff\xfe").decode()),
        (read_conversation_cursor, "é"),
        (read_conversation_cursor, "W"),
    ],
)
def test_any_other_is_refused_by_name(read: Callable[..., Any], cursor: str) -> None:
    with pytest.raises(InvalidCursor) as refused:
        read(cursor, parameter="before")
    assert refused.value.pointer == "?before"
    assert refused.value.code == "invalid_cursor"
