"""Public identifiers: a noun, an underscore, and a ULID in lower case.

A ULID (48 bits of milliseconds, 80 random bits, Crockford base 32; github.com/ulid/spec) sorts by time, so that rows
written together lie together in the index, and it is safe in a URL.
"""

from __future__ import annotations

import re
import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
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
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -10, -10)])


def new_conversation_id() -> str:
    """A fresh `conv_…`."""
    return "conv_" + _ulid()


def new_message_id() -> str:
    """A fresh `msg_…`."""
    return "msg_" + _ulid()


def new_reply_id() -> str:
    """A fresh `reply_…`."""
    return "reply_" + _ulid()


def new_process_id(role: str) -> str:
    """A fresh id for one start of a process: `api_…` or `worker_…`."""
    return f"{role}_{_ulid()}"


def is_id(noun: str, value: str) -> bool:
    """Whether `value` has the form of an id of this noun, so that a malformed one need not reach the database."""
    return value.startswith(noun + "_") and _ULID.fullmatch(value, len(noun) + 1) is not None
