"""What streams tell: of one reply, of one turn; that of a whole conversation stands on the same.

Each tells its client its events as they come, and ends when there is nothing more to tell. Always in this order:
listen, then read, then go on with what was heard.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from api.dependencies import Resources
from api.live.following import NOTHING, Follower, Told, place_of
from api.live.listener import Listener
from api.live.sse import PING, Tell, frame
from api.live.waiting import look_at
from api.rendering import Row, message_dict
from api.services import reading
from shared.errors import NotFound, StorageError
from shared.messaging.reply_events import Cursor
from shared.reply_status import ReplyStatus
from shared.store.turns import Turn

log = logging.getLogger(__name__)

# While something is missing that the database will have in a moment.
BEHIND_SECONDS = 0.3
# Without Redis the text is as fresh as the database has it.
UNCONNECTED_SECONDS = 1.0


class Stream(ABC):
    """What the streams have in common: one conversation, some replies that are followed."""

    # Whether it is told of every change of the conversation, and whether an event of a reply that it does not follow
    # yet is a reason to look.
    _hears_changes = False
    _hears_of_others = False

    def __init__(self, resources: Resources, tenant_id: str, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self._resources = resources
        self._tenant_id = tenant_id
        self._followers: dict[str, Follower] = {}
        self._listener: Listener | None = None
        self._has_begun = False
        self._is_left = False
        self._deadline = asyncio.get_running_loop().time() + resources.settings.stream_seconds

    async def run(self, tell: Tell) -> None:
        """Tells the client all there is to tell, as it comes."""
        async with self._resources.hub.listen(self.conversation_id, to_changes=self._hears_changes) as listener:
            self._listener = listener
            while not (self._is_over() or self._is_left or listener.is_over or self._is_old()):
                try:
                    if self._has_begun:
                        await listener.wait(self._patience())
                        await self._go_on(listener, tell)
                    else:
                        await self._begin(tell)
                        self._has_begun = True
                except StorageError as error:
                    log.warning("a stream waits for the database: %s", error)
                    await asyncio.sleep(BEHIND_SECONDS)
                    listener.wake()
            if not self._is_over() and not self._is_left:
                await self._break_off(tell)

    def _note_version(self, version: int | None) -> None:
        """All that was told is of this version of the conversation, or a later one: there is no need to look again."""
        if self._listener is not None and all(each.is_up_to_date for each in self._followers.values()):
            self._listener.seen = version

    def end(self) -> None:
        """The client has gone."""
        self._is_left = True
        if self._listener is not None:
            self._listener.end()

    async def _begin(self, tell: Tell) -> None:
        await self._look(tell)

    async def _break_off(self, tell: Tell) -> None:  # noqa: B027  nothing is needed where there are ids
        """It ends before its time, where the client can resume it by the id of the last event."""

    async def _go_on(self, listener: Listener, tell: Tell) -> None:
        chunks = [PING] if listener.should_ping else []
        listener.should_ping = False
        for event in listener.take():
            follower = self._followers.get(event.reply_id)
            if follower is None:
                listener.should_look = listener.should_look or self._hears_of_others
            elif (told := follower.take(event)) is not None:
                chunks.append(self._frame(follower, told))
        if chunk := b"".join(chunks):
            await tell(chunk)
        if listener.should_look or not self._resources.hub.is_connected:
            listener.should_look = False
            await self._look(tell)
        else:
            await self._catch_up(tell, only_where_needed=True)

    async def _look(self, tell: Tell) -> None:
        """Reads what no event may have told."""
        await self._catch_up(tell)

    async def _catch_up(self, tell: Tell, *, only_where_needed: bool = False) -> None:
        for follower in list(self._followers.values()):
            if follower.is_over or (only_where_needed and not follower.is_stale and not follower.is_behind):
                continue
            async for told in follower.catch_up():
                if self._is_left:
                    return
                await self._pass_on(tell, follower, told)

    async def _pass_on(self, tell: Tell, follower: Follower, told: Told) -> None:
        """Tells what catching up has found."""
        await tell(self._frame(follower, told))

    def _follow(self, reply_id: str, cursor: Cursor = NOTHING) -> None:
        if reply_id not in self._followers:
            self._followers[reply_id] = Follower(self._resources, self._tenant_id, reply_id, cursor)

    @abstractmethod
    def _frame(self, follower: Follower, told: Told) -> bytes:
        """The event as this kind of stream writes it."""

    def _is_over(self) -> bool:
        return all(follower.is_over for follower in self._followers.values())

    def _is_old(self) -> bool:
        """Whether it has lasted as long as one may; its client resumes on any gateway where it was."""
        return asyncio.get_running_loop().time() >= self._deadline

    def _patience(self) -> float | None:
        """How long to wait for something to happen. The keep-alive wakes everybody now and then."""
        if any(follower.is_behind for follower in self._followers.values()):
            return BEHIND_SECONDS
        return None if self._resources.hub.is_connected else UNCONNECTED_SECONDS


class ReplyStream(Stream):
    """One reply. Its events carry the reply's own cursor."""

    def __init__(self, resources: Resources, tenant_id: str, row: Row, *, cursor: Cursor | None) -> None:
        super().__init__(resources, tenant_id, row["conversation_id"])
        self._follow(row["id"], cursor or NOTHING)
        self.is_told = is_told([row], [cursor or NOTHING])

    async def _catch_up(self, tell: Tell, *, only_where_needed: bool = False) -> None:
        await super()._catch_up(tell, only_where_needed=only_where_needed)
        for follower in self._followers.values():
            self._note_version(follower.version)

    def _frame(self, _follower: Follower, told: Told) -> bytes:
        return frame(told.kind, told.data, event_id=str(told.cursor))


class TurnStream(Stream):
    """A turn: its message, and all its replies side by side. The cursor has a part for each of them."""

    _hears_of_others = True

    def __init__(self, resources: Resources, tenant_id: str, turn: Turn, *, cursors: Sequence[Cursor]) -> None:
        super().__init__(resources, tenant_id, turn.conversation_id)
        self._turn = turn
        self._is_new = not cursors
        self._told: dict[str, Cursor] = {}
        padded = [*cursors, *[NOTHING] * len(turn.replies)]
        for reply, cursor in zip(turn.replies, padded, strict=False):
            self._follow(reply["id"], cursor)
            self._told[reply["id"]] = cursor
        self.is_told = is_told(turn.replies, cursors)

    async def _begin(self, tell: Tell) -> None:
        if self._is_new:
            data = orjson.dumps({"message": message_dict(self._turn.message)})
            await tell(frame("message.created", data, event_id=self._cursor()))
            self._is_new = False
        await self._look(tell)

    async def _go_on(self, listener: Listener, tell: Tell) -> None:
        await super()._go_on(listener, tell)
        if self._is_over():
            # Perhaps there is a new candidate that nobody has begun with.
            await self._look(tell)

    async def _look(self, tell: Tell) -> None:
        """Looks for candidates that were asked for meanwhile, too."""
        turn = self._turn
        try:
            version, now = await look_at(
                self._resources.database,
                turn.conversation_id,
                partial(
                    reading.turn,
                    tenant_id=self._tenant_id,
                    conversation_id=turn.conversation_id,
                    number=turn.turn,
                ),
            )
        except NotFound:
            version, now = None, turn
        for reply in now.replies:
            self._follow(reply["id"])
            self._told.setdefault(reply["id"], NOTHING)
        await self._catch_up(tell)
        self._note_version(version)

    def _frame(self, follower: Follower, told: Told) -> bytes:
        self._told[follower.reply_id] = told.cursor
        return frame(told.kind, told.data, event_id=self._cursor())

    def _cursor(self) -> str:
        return turn_cursor(self._told.values())


def turn_cursor(cursors: Any) -> str:
    """The cursors of a turn's replies as one, in the order of the candidates."""
    return ".".join(str(cursor) for cursor in cursors)


def is_told(rows: Sequence[Row], cursors: Sequence[Cursor]) -> bool:
    """Whether a reader at these places has been told the end of every reply."""
    return len(cursors) >= len(rows) and all(
        ReplyStatus(row["status"]).is_terminal and cursor == place_of(row)
        for row, cursor in zip(rows, cursors, strict=False)
    )
