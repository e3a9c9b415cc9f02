"""The events of a reply: a Redis Stream each, for whoever listens now or resumes in a moment.

Losing it costs the live view, never the answer. An event's id is `<token>-<seq>`: the fencing token of who wrote it,
and a number that has no gap within a token. Redis takes ids only in rising order, so that it refuses by itself what a
worker writes whose reply is somebody else's by then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

from shared.messaging.command_connection import Command
from shared.reply_status import ReplyStatus

CHANNEL = "asyncchat:events:"
_LOG = "asyncchat:reply:"
_ID = re.compile(r"([0-9]{1,10})-([0-9]{1,10})")
# One read of a log; a longer one is read in several.
READ_AT_ONCE = 1000


class EventKind(StrEnum):
    """What happened to a reply."""

    QUEUED = "reply.queued"
    STARTED = "reply.started"
    RESTARTED = "reply.restarted"  # the text shown so far is void
    DELTA = "reply.delta"
    COMPLETED = "reply.completed"
    INCOMPLETE = "reply.incomplete"
    FAILED = "reply.failed"
    CANCELLED = "reply.cancelled"

    @classmethod
    def of_status(cls, status: ReplyStatus) -> EventKind:
        """The event that says that the reply came to this status."""
        return cls(f"reply.{status}")

    @property
    def status(self) -> ReplyStatus:
        """The status that `of_status` was given."""
        return ReplyStatus(self.removeprefix("reply."))

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows it."""
        return self in _TERMINAL


_TERMINAL = frozenset({EventKind.COMPLETED, EventKind.INCOMPLETE, EventKind.FAILED, EventKind.CANCELLED})


class Cursor(NamedTuple):
    """A place in a reply's events. Later ones compare as larger."""

    token: int
    seq: int

    def __str__(self) -> str:
        return f"{self.token}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """The cursor of its written form, or None if it is none."""
        found = _ID.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None

    def is_followed_by(self, other: Cursor) -> bool:
        """Whether nothing that still counts can be missing between the two."""
        if other.token == self.token:
            return other.seq == self.seq + 1
        return other.token > self.token and other.seq == 0


# Every reply's first event: it was accepted. Nobody needs to write down what is always so.
FIRST = Cursor(0, 1)


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` is its JSON, or empty where the listener's gateway reads the reply from the database."""

    reply_id: str
    cursor: Cursor
    kind: EventKind
    data: bytes = b""

    def packed(self) -> bytes:
        """As it is published."""
        return b" ".join((self.reply_id.encode(), str(self.cursor).encode(), self.kind.encode(), self.data))

    @classmethod
    def unpack(cls, payload: bytes) -> Event | None:
        """What `packed` made, or None for what it did not."""
        parts = payload.split(b" ", 3)
        cursor = Cursor.parse(parts[1].decode(errors="replace")) if len(parts) == 4 else None
        kind = _KINDS.get(parts[2]) if cursor else None
        if cursor is None or kind is None:
            return None
        return cls(parts[0].decode(errors="replace"), cursor, kind, parts[3])


_KINDS = {kind.encode(): kind for kind in EventKind}


def delta(reply_id: str, cursor: Cursor, text: str) -> Event:
    """A piece of the answer."""
    return Event(reply_id, cursor, EventKind.DELTA, orjson.dumps({"reply_id": reply_id, "text": text}))


def started(reply_id: str, token: int, attempt: int) -> Event:
    """A worker has begun a try; from the second on, what was shown of the one before is void."""
    kind = EventKind.STARTED if attempt == 1 else EventKind.RESTARTED
    return Event(reply_id, Cursor(token, 0), kind, orjson.dumps({"reply_id": reply_id, "attempt": attempt}))


def moved(reply_id: str, cursor: Cursor, status: ReplyStatus) -> Event:
    """The reply ended, or was queued again."""
    data = orjson.dumps({"reply_id": reply_id}) if status is ReplyStatus.QUEUED else b""
    return Event(reply_id, cursor, EventKind.of_status(status), data)


def channel(conversation_id: str) -> str:
    """The Redis channel on which the events of a conversation's replies are published."""
    return CHANNEL + conversation_id


def log_key(reply_id: str) -> str:
    """The Redis key of a reply's log."""
    return _LOG + reply_id


# Appends and publishes, or neither: whose id is not larger than the last one has lost the reply, and nobody is to hear
# of it. Where there is no room for the log, those who listen hear the event all the same.
_APPEND = """
local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[3], 'k', ARGV[4], 'd', ARGV[5])
if type(added) == 'table' and added.err and string.find(added.err, 'equal or smaller') then return 0 end
redis.pcall('EXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', KEYS[2], ARGV[6])
return 1
"""


@dataclass(frozen=True, slots=True)
class LogBounds:
    """How long a log may get, and how many seconds after its last event it is gone."""

    events: int
    seconds: int


DEFAULT_BOUNDS = LogBounds(events=10_000, seconds=600)


def append(event: Event, *, conversation_id: str, bounds: LogBounds) -> Command:
    """The command that logs the event and publishes it."""
    return (
        "EVAL",
        _APPEND,
        2,
        log_key(event.reply_id),
        channel(conversation_id),
        bounds.events,
        bounds.seconds,
        str(event.cursor),
        event.kind.value,
        event.data,
        event.packed(),
    )


async def read_after(redis: Redis, reply_id: str, cursor: Cursor) -> Sequence[Event]:
    """The logged events behind the cursor, as many as one reading gives.

    Raises:
        RedisError: Redis does not answer.
    """
    return await _read(redis, reply_id, min=f"({cursor}", max="+", count=READ_AT_ONCE)


async def read_last(redis: Redis, reply_id: str) -> Cursor | None:
    """The last logged event, or None where there is no log.

    Raises:
        RedisError: Redis does not answer.
    """
    entries: Any = await redis.xrevrange(log_key(reply_id), count=1)
    return Cursor.parse(entries[0][0].decode()) if entries else None


async def read_token(redis: Redis, reply_id: str, token: int) -> Sequence[Event]:
    """All logged events of one token, so those of one try.

    Raises:
        RedisError: Redis does not answer.
    """
    return await _read(redis, reply_id, min=str(token), max=str(token))


async def _read(redis: Redis, reply_id: str, **bounds: Any) -> Sequence[Event]:
    # redis-py types what its other protocols and decoders would give.
    entries: Any = await redis.xrange(log_key(reply_id), **bounds)
    return [_of_entry(reply_id, entry_id, fields) for entry_id, fields in entries]


def _of_entry(reply_id: str, entry_id: bytes, fields: dict[bytes, bytes]) -> Event:
    token, _, seq = entry_id.decode().partition("-")
    return Event(reply_id, Cursor(int(token), int(seq)), _KINDS[fields[b"k"]], fields[b"d"])
