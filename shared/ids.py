"""Public identifiers: a noun, an underscore, and a ULID in lower case.

A ULID (48 bits of milliseconds, 80 random bits, Crockford base 32; github.com/ulid/spec) sorts by time, so that rows
written together lie together in the index, and it is safe in a URL.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_ULIDS = 1 << 128
# Farther than ids of one millisecond lie apart, so that no two replies come to the same.
_BETWEEN_TRIES = 1 << 70
_ULID = re.compile(rf"[0-7][{_ALPHABET}]{{25}}")


_lock = threading.Lock()
_last = 0


def _ulid() -> str:
    """Larger than every one before it in this process, also within a millisecond, and not to be guessed from it."""
    global _last
    value = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    with _lock:
        if value >> 80 <= _last >> 80:
            value = _last + 1 + secrets.randbits(64)
        _last = value
    return _written(value)


def _written(value: int) -> str:
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -10, -10)])


def new_conversation_id() -> str:
    """A fresh `conv_…`."""
    return "conv_" + _ulid()


def imported_conversation_id(place: int, said_first: str) -> str:
    """The `conv_…` of a conversation of another program, always the same: from its place among the others there, by
    which it sorts, before all that were made here, and from what was said in it first.
    """
    digest = hashlib.sha256(f"{place}\0{said_first}".encode()).digest()
    return "conv_" + _written((place % (1 << 40)) << 80 | int.from_bytes(digest[:10]))


def new_message_id() -> str:
    """A fresh `msg_…`."""
    return "msg_" + _ulid()


def answer_id(reply_id: str, attempt: int) -> str:
    """The id of the message that this try at a reply makes, if any: known from the beginning to whoever tells of it."""
    value = 0
    for character in reply_id.partition("_")[2]:
        value = value << 5 | _ALPHABET.index(character)
    return "msg_" + _written((value + (attempt - 1) * _BETWEEN_TRIES) % _ULIDS)


def new_reply_id() -> str:
    """A fresh `reply_…`."""
    return "reply_" + _ulid()


def first_reply_id(instant: int) -> str:
    """One that no reply made since that instant, in milliseconds, comes before."""
    return "reply_" + _written(max(0, instant) << 80)


def new_key_id() -> str:
    """A fresh `key_…`."""
    return "key_" + _ulid()


def new_erasure_id() -> str:
    """A fresh `erasure_…`."""
    return "erasure_" + _ulid()


def new_webhook_id() -> str:
    """A fresh `webhook_…`."""
    return "webhook_" + _ulid()


def new_delivery_id() -> str:
    """A fresh `delivery_…`."""
    return "delivery_" + _ulid()


def first_delivery_id(instant: int) -> str:
    """One that no delivery made since that instant, in milliseconds, comes before."""
    return "delivery_" + _written(max(0, instant) << 80)


def response_id(reply_id: str) -> str:
    """What a reply is called in OpenAI's dialect."""
    return "resp_" + reply_id.removeprefix("reply_")


def new_process_id(role: str) -> str:
    """A fresh id for one start of a process: `api_…` or `worker_…`."""
    return f"{role}_{_ulid()}"


def is_id(noun: str, value: str) -> bool:
    """Whether `value` has the form of an id of this noun, so that a malformed one need not reach the database."""
    return value.startswith(noun + "_") and _ULID.fullmatch(value, len(noun) + 1) is not None
