"""The stream of a whole conversation: its state, then everything that happens in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from api.dependencies import Resources
from api.live.following import NOTHING, Follower, Told, place_of
from api.live.sse import Tell, frame
from api.live.streams import Stream
from api.rendering import conversation_dict, conversation_head, message_dict
from api.services import reading
from api.services.reading import ConversationView
from shared.errors import NotFound
from shared.messaging.reply_events import Cursor
from shared.reply_body import feedback_of
from shared.store import replies

NEWEST_MESSAGES = 50
# How many messages and replies may come between two looks of a conversation's stream without being missed.
NEW_MESSAGES = 100
# What of a conversation is changed by request.
_SETTINGS = ("title", "instructions", "model", "parameters", "metadata", "end_user")


class _Seen(NamedTuple):
    """A conversation as one look found it."""

    view: ConversationView
    # How far the newest replies have come, which of them are selected, and what is thought of those that were rated.
    places: dict[str, Cursor]
    selected: set[str]
    feedback: dict[str, dict[str, Any] | None]
    settings: dict[str, Any]


class ConversationStream(Stream):
    """Everything in a conversation, for as long as somebody listens. It begins with its state and has no cursor."""

    _hears_changes = True
    _hears_of_others = True

    def __init__(self, resources: Resources, tenant_id: str, conversation_id: str) -> None:
        super().__init__(resources, tenant_id, conversation_id)
        self._last_turn = 0
        # How far the newest replies had come when they were last looked at, and what else was told then.
        self._places: dict[str, Cursor] = {}
        self._selected: set[str] = set()
        self._feedback: dict[str, dict[str, Any] | None] = {}
        # Whose end was told since, which the look before it may have been too early for.
        self._ended: set[str] = set()
        self._settings: dict[str, Any] = {}
        self._is_gone = False

    async def _begin(self, tell: Tell) -> None:
        seen = await self._read()
        if seen is None:
            return
        for row in seen.view.live_replies:
            self._follow(row["id"], place_of(row))
        self._remember(seen)
        await tell(frame("snapshot", orjson.dumps({"conversation": conversation_dict(seen.view)})))

    async def _look(self, tell: Tell) -> None:
        seen = await self._read(newest=NEW_MESSAGES)
        choices: set[str] = set()
        ratings: dict[str, dict[str, Any] | None] = {}
        if seen is not None:
            await self._tell_changes(seen, tell)
            for row in seen.view.live_replies:
                self._follow(row["id"], self._places.get(row["id"], NOTHING))
            # Some may have come and gone since the last look.
            for reply_id in reversed(seen.places):
                if seen.places[reply_id] > self._places.get(reply_id, NOTHING):
                    self._follow(reply_id, self._places.get(reply_id, NOTHING))
            # The end of a reply tells by itself whether it is selected.
            choices = seen.selected - self._selected - self._followers.keys() - self._ended
            ratings = {key: each for key, each in seen.feedback.items() if each != self._feedback.get(key)}
            self._remember(seen)
        await self._catch_up(tell)
        if seen is not None:
            self._note_version(seen.view.row["version"])
        for reply_id in choices:
            await tell(frame("reply.selected", orjson.dumps({"reply_id": reply_id})))
        for reply_id, feedback in ratings.items():
            await tell(frame("reply.rated", orjson.dumps({"reply_id": reply_id, "feedback": feedback})))
        self._ended = {key for key, follower in self._followers.items() if follower.is_over}
        for reply_id in self._ended:
            self._places[reply_id] = self._followers.pop(reply_id).cursor

    async def _tell_changes(self, seen: _Seen, tell: Tell) -> None:
        """New messages, and settings that are others now."""
        for message in seen.view.messages:
            if message["turn"] > self._last_turn and message["reply_id"] is None:
                await tell(frame("message.created", orjson.dumps({"message": message_dict(message)})))
        if seen.settings != self._settings:
            data = orjson.dumps({"conversation": conversation_head(seen.view.row)})
            await tell(frame("conversation.changed", data))

    def _remember(self, seen: _Seen) -> None:
        self._last_turn = seen.view.row["next_turn"] - 1
        self._places, self._selected, self._settings = seen.places, seen.selected, seen.settings
        self._feedback = seen.feedback

    async def _read(self, *, newest: int = NEWEST_MESSAGES) -> _Seen | None:
        def read(connection: Connection) -> _Seen:
            view = reading.conversation(connection, self._tenant_id, self.conversation_id, newest=newest)
            rows = replies.places(connection, self.conversation_id, limit=NEW_MESSAGES)
            return _Seen(
                view,
                {row["id"]: place_of(row) for row in rows},
                {row["id"] for row in rows if row["selected"]},
                {row["id"]: feedback_of(row) for row in rows},
                {name: view.row[name] for name in _SETTINGS},
            )

        try:
            return await self._resources.database.read(read)
        except NotFound:
            self._is_gone = True
            return None

    def _frame(self, _follower: Follower, told: Told) -> bytes:
        return frame(told.kind, told.data)

    def _is_over(self) -> bool:
        return self._is_gone
