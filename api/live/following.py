"""Following one reply: its events in order, each once, whatever was lost on the way.

The log and what is published are tried first. Where an event is missing, the database has the text up to some event,
and the reader gets that as a snapshot: never a silent gap.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import orjson
from redis.exceptions import RedisError

from api.dependencies import Resources
from api.rendering import Row
from shared.errors import NotFound
from shared.messaging import reply_events
from shared.messaging.reply_events import FIRST, READ_AT_ONCE, Cursor, Event, EventKind
from shared.reply_body import reply_dict
from shared.reply_status import ReplyStatus

log = logging.getLogger(__name__)

NOTHING = Cursor(0, 0)
# More than any try has: a place behind all of a token's events.
_ALL = 9_999_999_999


class Told(NamedTuple):
    """One event for the reader, and where in the reply's events the reader is after it."""

    kind: str
    data: bytes
    cursor: Cursor


def place_of(row: Row) -> Cursor:
    """The last event that the row knows of."""
    token = row["token"]
    if row["status"] == ReplyStatus.QUEUED and token == 1:
        return FIRST
    written = Cursor.parse(row["partial_cursor"] or "")
    # Whoever moves a reply on by a new token says so in the first event of that token.
    return written if written is not None and written.token == token else Cursor(token, 0)


def _before(end: Cursor) -> Cursor:
    """A place behind everything but this end."""
    return Cursor(end.token, end.seq - 1) if end.seq else Cursor(end.token - 1, _ALL)


class Follower:
    """One reader's place in one reply.

    `is_stale` tells that it has to catch up, and `is_behind` that what is missing will be in the database in a moment.
    """

    def __init__(self, resources: Resources, tenant_id: str, reply_id: str, cursor: Cursor = NOTHING) -> None:
        self._resources = resources
        self._tenant_id = tenant_id
        self.reply_id = reply_id
        self.cursor = cursor
        self.is_over = False
        self.is_stale = True
        self.is_behind = False
        # That of the conversation when the reply was last looked at, and whether nothing was on its way then.
        self.version: int | None = None
        self.is_up_to_date = False
        # The end, if it was heard with nothing missing before it.
        self._heard_end: Cursor | None = None

    def take(self, event: Event) -> Told | None:
        """What the reader is told at once for an event that was published just now."""
        if self.is_over or event.cursor <= self.cursor or self.is_behind or self.is_stale:
            return None
        is_next = self.cursor.is_followed_by(event.cursor)
        if event.kind.is_terminal or not is_next:
            self.is_stale = True
            self._heard_end = event.cursor if is_next else None
            return None
        self.cursor = event.cursor
        return Told(event.kind, event.data, event.cursor)

    async def catch_up(self) -> AsyncIterator[Told]:
        """Everything that has happened up to now."""
        self.is_stale = False
        if self.cursor < FIRST:
            self.cursor = FIRST
            yield Told(EventKind.QUEUED, orjson.dumps({"reply_id": self.reply_id}), FIRST)
        told = self.cursor
        # The row before the log: a log that was read before would lack what the row knows, and nothing be missing.
        row = await self._row()
        if row is not None and await self._is_beyond(row):
            # One that was further than this reply ever got saw another history, such as one before a backup.
            yield self._snapshot(row)
        has_gap = has_ended = False
        # Where the row is at the end that was heard, the log has nothing more to tell.
        is_all_heard = row is not None and _is_ended(row) and place_of(row) == self._heard_end
        while row is not None and not has_gap and not is_all_heard:
            events = await self._logged()
            for event in events:
                if not self.cursor.is_followed_by(event.cursor):
                    has_gap = True
                    break
                # An end in the log may have been followed by another try; the row knows.
                has_ended = event.kind.is_terminal
                if not has_ended:
                    self.cursor = event.cursor
                    yield Told(event.kind, event.data, event.cursor)
            if len(events) < READ_AT_ONCE:
                break
        if has_ended and row is not None and not _is_ended(row):
            row = await self._row()
        for each in self._compare(row, told=told, has_gap=has_gap):
            yield each

    async def _row(self) -> Row | None:
        """The reply as the database has it, or None if it is gone."""
        try:
            row = await self._resources.replies.read(self._tenant_id, self.reply_id)
        except NotFound:
            return None
        self.version = row["version"]
        return row

    async def _is_beyond(self, row: Row) -> bool:
        """Whether the reader is at an event that has not been."""
        token: int = row["token"]
        if self.cursor.token != token or self.cursor <= place_of(row):
            return self.cursor.token > token
        try:
            # The row is up to a second behind the log.
            last = await reply_events.read_last(self._resources.redis, self.reply_id)
        except (RedisError, OSError):
            return False
        return last is not None and last < self.cursor

    async def _logged(self) -> list[Event]:
        try:
            return list(await reply_events.read_after(self._resources.redis, self.reply_id, self.cursor))
        except (RedisError, OSError) as error:
            log.debug("a reply's log could not be read: %s", error)
            return []

    def _compare(self, row: Row | None, *, told: Cursor, has_gap: bool) -> Iterator[Told]:
        """Tells what the row knows beyond the log. `told` is where the reader was before the log was read."""
        if row is None:
            self.is_over = True
            data = orjson.dumps({"reply_id": self.reply_id})
            yield Told(EventKind.CANCELLED, data, Cursor(self.cursor.token + 1, 0))
            return
        place = place_of(row)
        is_ended = _is_ended(row)
        self.is_up_to_date = is_ended or place <= self.cursor
        if place > self.cursor and not self._is_on_its_way(place, is_ended=is_ended):
            yield self._snapshot(row)
        self.is_behind = has_gap and not is_ended
        if is_ended:
            self.is_over = True
            self.cursor = place
            if told == place:
                return  # The reader of a turn may have been told the end of one reply and not of another.
            kind = EventKind.of_status(ReplyStatus(row["status"]))
            yield Told(kind, orjson.dumps({"reply": reply_dict(row)}), place)

    def _is_on_its_way(self, place: Cursor, *, is_ended: bool) -> bool:
        """Whether the row is ahead by one event that has no text, and is told in a moment."""
        if not self.cursor.is_followed_by(place):
            return False
        if is_ended:
            # Of what was shown of a try that others ended, less may be kept.
            return self.cursor == _before(place) or self.cursor.seq == 0 or self.cursor == FIRST
        return place.seq == 0 and self._resources.hub.is_connected

    def _snapshot(self, row: Row) -> Told:
        """The row. Behind one that has ended only the end is left, whose id says that it was told."""
        place = place_of(row)
        self.cursor = _before(place) if _is_ended(row) else place
        return Told("snapshot", orjson.dumps({"reply": reply_dict(row)}), self.cursor)


def _is_ended(row: Row) -> bool:
    return ReplyStatus(row["status"]).is_terminal
