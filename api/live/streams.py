"""What the three kinds of streams tell: of one reply, of one turn, of a whole conversation.

Each yields the bytes of its events as they come, and ends when there is nothing more to tell. Always in this order:
listen, then read, then go on with what was heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from api.dependencies import Resources
from api.live.following import NOTHING, Follower, Told, place_of
from api.live.listener import Listener
from api.live.sse import PING, frame
from api.rendering import Row, conversation_dict, message_dict
from api.services import reading
from api.services.reading import ConversationView
from shared.errors import NotFound, StorageError
from shared.reply_events import Cursor
from shared.reply_status import ReplyStatus
from shared.store.turns import Turn

# While something is missing that the database will have in a moment.
BEHIND_SECONDS = 0.3
# Without Redis the text is as fresh as the database has it.
UNCONNECTED_SECONDS = 1.0
NEWEST_MESSAGES = 50
# How many messages may come between two looks of a conversation's stream without being missed.
NEW_MESSAGES = 100


class Stream:
    """What the streams have in common: one conversation, some replies that are followed."""

    _hears_changes = False

    def __init__(self, resources: Resources, tenant_id: str, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self._resources = resources
        self._tenant_id = tenant_id
        self._followers: dict[str, Follower] = {}
        self._deadline = asyncio.get_running_loop().time() + resources.settings.stream_seconds

    async def run(self) -> AsyncIterator[bytes]:
        """The bytes to send, as long as there is something to tell."""
        async with self._resources.hub.listen(self.conversation_id, to_changes=self._hears_changes) as listener:
            async for chunk in self._begin():
                yield chunk
            while not self._is_over() and not listener.is_over:
                if not await listener.wait(self._patience()) and self._is_old():
                    return  # The client resumes on any gateway where it was.
                try:
                    async for chunk in self._go_on(listener):
                        yield chunk
                except StorageError:
                    await asyncio.sleep(BEHIND_SECONDS)
                    listener.wake()

    async def _begin(self) -> AsyncIterator[bytes]:
        async for chunk in self._catch_up():
            yield chunk

    async def _go_on(self, listener: Listener) -> AsyncIterator[bytes]:
        if listener.should_ping:
            listener.should_ping = False
            yield PING
        for event in listener.take():
            follower = self._followers.get(event.reply_id)
            if follower is None:
                listener.should_look = listener.should_look or self._may_be_mine(event.reply_id)
                continue
            async for told in follower.take(event):
                yield self._frame(follower, told)
        if listener.should_look or not self._resources.hub.is_connected or self._is_behind():
            listener.should_look = False
            async for chunk in self._look():
                yield chunk

    async def _look(self) -> AsyncIterator[bytes]:
        async for chunk in self._catch_up():
            yield chunk

    async def _catch_up(self) -> AsyncIterator[bytes]:
        for follower in list(self._followers.values()):
            if not follower.is_over:
                async for told in follower.catch_up():
                    yield self._frame(follower, told)

    def _follow(self, reply_id: str, cursor: Cursor = NOTHING) -> None:
        if reply_id not in self._followers:
            self._followers[reply_id] = Follower(self._resources, self._tenant_id, reply_id, cursor)

    def _frame(self, follower: Follower, told: Told) -> bytes:
        raise NotImplementedError

    def _may_be_mine(self, _reply_id: str) -> bool:
        return False

    def _is_over(self) -> bool:
        return all(follower.is_over for follower in self._followers.values())

    def _is_behind(self) -> bool:
        return any(follower.is_behind for follower in self._followers.values())

    def _is_old(self) -> bool:
        return asyncio.get_running_loop().time() >= self._deadline

    def _patience(self) -> float:
        if self._is_behind():
            return BEHIND_SECONDS
        left = max(0.0, self._deadline - asyncio.get_running_loop().time())
        return left if self._resources.hub.is_connected else min(left, UNCONNECTED_SECONDS)


class ReplyStream(Stream):
    """One reply. Its events carry the reply's own cursor."""

    def __init__(self, resources: Resources, tenant_id: str, row: Row, *, cursor: Cursor | None) -> None:
        super().__init__(resources, tenant_id, row["conversation_id"])
        self._follow(row["id"], cursor or NOTHING)
        self.is_told = is_told([row], [cursor or NOTHING])

    def _frame(self, _follower: Follower, told: Told) -> bytes:
        return frame(told.kind, told.data, event_id=str(told.cursor))


class TurnStream(Stream):
    """A turn: its message, and all its replies side by side. The cursor has a part for each of them."""

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

    async def _begin(self) -> AsyncIterator[bytes]:
        if self._is_new:
            data = orjson.dumps({"message": message_dict(self._turn.message)})
            yield frame("message.created", data, event_id=self._cursor())
        async for chunk in self._catch_up():
            yield chunk

    async def _look(self) -> AsyncIterator[bytes]:
        """Looks for candidates that were asked for meanwhile, too."""
        turn = self._turn
        try:
            now = await self._resources.database.read(reading.turn, self._tenant_id, turn.conversation_id, turn.turn)
        except NotFound:
            now = turn
        for reply in now.replies:
            self._follow(reply["id"])
            self._told.setdefault(reply["id"], NOTHING)
        async for chunk in self._catch_up():
            yield chunk

    def _frame(self, follower: Follower, told: Told) -> bytes:
        self._told[follower.reply_id] = told.cursor
        return frame(told.kind, told.data, event_id=self._cursor())

    def _cursor(self) -> str:
        return turn_cursor(self._told.values())

    def _may_be_mine(self, _reply_id: str) -> bool:
        return True


class ConversationStream(Stream):
    """Everything in a conversation, for as long as somebody listens. It begins with its state and has no cursor."""

    _hears_changes = True

    def __init__(self, resources: Resources, tenant_id: str, conversation_id: str) -> None:
        super().__init__(resources, tenant_id, conversation_id)
        self._last_turn = 0
        self._is_gone = False

    async def _begin(self) -> AsyncIterator[bytes]:
        view = await self._read()
        if view is None:
            return
        for row in view.live_replies:
            self._follow(row["id"], place_of(row))
        self._last_turn = view.row["next_turn"] - 1
        yield frame("snapshot", orjson.dumps({"conversation": conversation_dict(view)}))

    async def _look(self) -> AsyncIterator[bytes]:
        view = await self._read(newest=NEW_MESSAGES)
        if view is None:
            async for chunk in self._catch_up():
                yield chunk
            return
        for message in view.messages:
            if message["turn"] > self._last_turn and message["reply_id"] is None:
                yield frame("message.created", orjson.dumps({"message": message_dict(message)}))
        self._last_turn = view.row["next_turn"] - 1
        for row in view.live_replies:
            self._follow(row["id"])
        async for chunk in self._catch_up():
            yield chunk
        self._followers = {reply_id: follower for reply_id, follower in self._followers.items() if not follower.is_over}

    async def _read(self, *, newest: int = NEWEST_MESSAGES) -> ConversationView | None:
        try:
            return await self._resources.database.read(
                reading.conversation, self._tenant_id, self.conversation_id, newest=newest
            )
        except NotFound:
            self._is_gone = True
            return None

    def _frame(self, _follower: Follower, told: Told) -> bytes:
        return frame(told.kind, told.data)

    def _may_be_mine(self, _reply_id: str) -> bool:
        return True

    def _is_over(self) -> bool:
        return self._is_gone


def turn_cursor(cursors: Any) -> str:
    """The cursors of a turn's replies as one, in the order of the candidates."""
    return ".".join(str(cursor) for cursor in cursors)


def is_told(rows: Sequence[Row], cursors: Sequence[Cursor]) -> bool:
    """Whether a reader at these places has been told the end of every reply."""
    return len(cursors) >= len(rows) and all(
        ReplyStatus(row["status"]).is_terminal and cursor == place_of(row)
        for row, cursor in zip(rows, cursors, strict=False)
    )
