"""Cursors: where a page ended, opaque to clients and checked when they come back."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from shared.errors import InvalidValue
from shared.ids import is_id

# The longest cursor of most lists has about 70 characters; that of usage may name a model, a key and an end user.
_MAX_CURSOR_CHARS = 200
_MAX_USAGE_CURSOR_CHARS = 4000
_MAX_NAME_CHARS = 255
_MAX_INSTANT = 2**53
# Turns and positions are stored in four bytes.
_MAX_COUNT = 2**31


class InvalidCursor(InvalidValue):
    """The cursor was not given out by this server for this list."""

    code = "invalid_cursor"


def _pack(*position: str | int) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(position)).rstrip(b"=").decode()


def _unpack(
    cursor: str,
    *,
    parameter: str,
    kind: str,
    fields: tuple[Callable[[Any], bool], ...],
    max_chars: int = _MAX_CURSOR_CHARS,
) -> list[Any]:
    position = _decode(cursor) if len(cursor) <= max_chars else None
    if isinstance(position, list) and len(position) == len(fields) + 1 and position[0] == kind:
        values = position[1:]
        if all(is_fit(value) for is_fit, value in zip(fields, values, strict=True)):
            return values
    raise InvalidCursor("This is not a cursor of this list.", pointer=f"?{parameter}")


def _decode(cursor: str) -> Any:
    try:
        return orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except ValueError:  # Both decoders raise kinds of it.
        return None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_NAME_CHARS and "\0" not in value


def _is_instant(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_INSTANT


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_COUNT


def _is_id(noun: str, value: Any) -> bool:
    return isinstance(value, str) and is_id(noun, value)


def conversation_cursor(updated_at: int, conversation_id: str) -> str:
    """After this conversation in the list by last change."""
    return _pack("c", updated_at, conversation_id)


def read_conversation_cursor(cursor: str, *, parameter: str) -> tuple[int, str]:
    """`(updated_at, id)`.

    Raises:
        InvalidCursor: it is garbage, forged, or of another list.
    """
    fields = (_is_instant, lambda value: _is_id("conv", value))
    updated_at, conversation_id = _unpack(cursor, parameter=parameter, kind="c", fields=fields)
    return updated_at, conversation_id


def message_cursor(turn: int, position: int) -> str:
    """Before or after this message of its conversation."""
    return _pack("m", turn, position)


def read_message_cursor(cursor: str, *, parameter: str) -> tuple[int, int]:
    """`(turn, position)`.

    Raises:
        InvalidCursor: it is garbage, forged, or of another list.
    """
    turn, position = _unpack(cursor, parameter=parameter, kind="m", fields=(_is_count, _is_count))
    return turn, position


def id_cursor(noun: str, thing_id: str) -> str:
    """After this thing in the list of its kind, newest first. The noun is what its ids begin with, such as `reply`."""
    return _pack(noun, thing_id)


def read_id_cursor(noun: str, cursor: str, *, parameter: str) -> str:
    """The thing's id.

    Raises:
        InvalidCursor: it is garbage, forged, or of another list.
    """
    (thing_id,) = _unpack(cursor, parameter=parameter, kind=noun, fields=(lambda value: _is_id(noun, value),))
    return str(thing_id)


def usage_cursor(group: Mapping[str, int | str]) -> str:
    """After this group of the sums, whose values are by what they are told apart."""
    return _pack("u", ",".join(group), *group.values())


def read_usage_cursor(cursor: str, *, parameter: str, by: Sequence[str]) -> list[int | str]:
    """The group's values, in the order of `by`.

    Raises:
        InvalidCursor: it is garbage, forged, or of sums by something else.
    """
    names = ",".join(by)
    fields = (lambda value: value == names, *(_is_count if name == "day" else _is_name for name in by))
    return _unpack(cursor, parameter=parameter, kind="u", fields=fields, max_chars=_MAX_USAGE_CURSOR_CHARS)[1:]


def budget_cursor(kind: str, subject: str) -> str:
    """After this budget in the list, by kind and id."""
    return _pack("b", kind, subject)


def read_budget_cursor(cursor: str, *, parameter: str) -> tuple[str, str]:
    """`(kind, id)`.

    Raises:
        InvalidCursor: it is garbage, forged, or of another list.
    """
    fields = (_is_name, _is_name)
    kind, subject = _unpack(cursor, parameter=parameter, kind="b", fields=fields, max_chars=_MAX_USAGE_CURSOR_CHARS)
    return kind, subject
