"""The stream of one chat completion: all its replies side by side, as choices.

The protocol knows no way back. Where a reply begins anew after something of it was shown, the stream ends with an
error; what had been shown in full agreement with the new text goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from api.dependencies import Resources
from api.live.following import Follower, Told
from api.live.sse import Tell
from api.live.streams import Stream
from api.openai_compat.chat import Chunks, failure_of, written
from api.openai_compat.errors import error_body
from api.openai_compat.events import DONE
from api.rendering import Row
from api.services import reading
from shared.errors import NotFound
from shared.messaging.reply_events import EventKind
from shared.store.turns import Turn

_BROKEN = "The model's answer broke off and was begun anew, which a stream of chunks cannot show. Ask again."
_ENDS = frozenset(kind.value for kind in EventKind if kind.is_terminal)
_STOPPING = "This gateway had to end the stream before its answer was complete. Ask again."
_GONE = "Somebody erased what was asked."


class ChatStream(Stream):
    """One completion, from its beginning."""

    def __init__(self, resources: Resources, tenant_id: str, turn: Turn, *, has_usage: bool) -> None:
        super().__init__(resources, tenant_id, turn.conversation_id)
        self._turn = turn
        self._chunks = Chunks(turn.replies[0], has_usage=has_usage)
        self._index = {row["id"]: index for index, row in enumerate(turn.replies)}
        self._shown = dict.fromkeys(self._index, "")
        # What is to be left out of a text that began anew, since it was shown already.
        self._repeated: dict[str, str] = {}
        self._has_broken = False
        for reply_id in self._index:
            self._follow(reply_id)

    async def _begin(self, tell: Tell) -> None:
        greeting = {"role": "assistant", "content": "", "refusal": None}
        await tell(b"".join(self._chunks.delta(index, greeting) for index in self._index.values()))
        await super()._begin(tell)

    def _frame(self, follower: Follower, told: Told) -> bytes:
        if told.kind == EventKind.DELTA:
            return b"".join(self._say(follower.reply_id, orjson.loads(told.data)["text"]))
        if told.kind == EventKind.RESTARTED:
            self._repeated[follower.reply_id] = self._shown[follower.reply_id]
        return b""

    def _say(self, reply_id: str, text: str) -> Iterator[bytes]:
        if self._has_broken:
            return
        expected = self._repeated.get(reply_id, "")
        same = min(len(expected), len(text))
        if expected[:same] != text[:same]:
            yield self._break(_BROKEN)
            return
        self._repeated[reply_id] = expected[same:]
        if rest := text[same:]:
            self._shown[reply_id] += rest
            yield self._chunks.delta(self._index[reply_id], {"content": rest})

    def _break(self, sentence: str) -> bytes:
        self._has_broken = True
        return written(error_body("stream_broken", status=500, message=sentence))

    async def _pass_on(self, tell: Tell, follower: Follower, told: Told) -> None:
        if self._has_broken:
            return
        is_end = told.kind in _ENDS
        if told.kind == "snapshot" or is_end:
            await tell(b"".join(self._state(follower.reply_id, orjson.loads(told.data).get("reply"), is_end=is_end)))
            if is_end:
                await self._end(tell)
        else:
            await super()._pass_on(tell, follower, told)

    async def _break_off(self, tell: Tell) -> None:
        """The SDKs would take it for whole."""
        await tell(self._break(_STOPPING))

    async def _end(self, tell: Tell) -> None:
        """After the last choice, and not after an error."""
        if self._is_over() and not self._has_broken:
            await tell(self._chunks.total(await self._rows()) + DONE)

    def _state(self, reply_id: str, reply: dict[str, Any] | None, *, is_end: bool) -> Iterator[bytes]:
        """What the database has beyond what was shown."""
        if reply is None:
            yield self._break(_GONE)
            return
        failure = failure_of([_flat(reply)]) if is_end else None
        if failure is not None:
            self._has_broken = True
            yield written(failure[1])
            return
        self._repeated[reply_id] = self._shown[reply_id]
        yield from self._say(reply_id, reply["content"])
        if is_end and not self._has_broken and self._shown[reply_id] != reply["content"]:
            yield self._break(_BROKEN)
        if is_end and not self._has_broken:
            yield self._chunks.end(self._index[reply_id], reply)

    async def _rows(self) -> list[Row]:
        """The replies as they ended."""
        turn = self._turn
        try:
            found = await self._resources.database.read(reading.turn, self._tenant_id, turn.conversation_id, turn.turn)
        except NotFound:
            return list(turn.replies)
        return list(found.replies)

    def _is_over(self) -> bool:
        return self._has_broken or super()._is_over()


def _flat(reply: dict[str, Any]) -> dict[str, Any]:
    """A shown reply as its row has it."""
    error = reply["error"] or {"code": None, "message": None}
    return {"status": reply["status"], "error_code": error["code"], "error_message": error["message"]}
