"""The stream of one response: the reply's own events as they come, told in OpenAI's words.

What the live events leave out is told anew from the database: the numbers say what the client has already.
"""

from __future__ import annotations

import orjson
from sqlalchemy import Connection

from api.dependencies import Resources
from api.live.following import Follower, Told
from api.live.sse import Tell
from api.live.streams import Stream
from api.openai_compat.events import DONE, Story, Teller, retell
from api.rendering import Row
from api.services import responses
from shared.errors import NotFound
from shared.reply_events import EventKind


class ResponseStream(Stream):
    """One response, from the event behind number `after` on."""

    def __init__(self, resources: Resources, tenant_id: str, row: Row, *, after: int = -1) -> None:
        super().__init__(resources, tenant_id, row["conversation_id"])
        self._reply_id: str = row["id"]
        self._teller = Teller(row, after=after)
        self._has_begun_telling = False
        self._follow(self._reply_id)

    def _frame(self, _follower: Follower, told: Told) -> bytes:
        teller = self._teller
        if told.kind == EventKind.QUEUED:
            # Again, when another try follows.
            if not self._has_begun_telling:
                self._has_begun_telling = True
                teller.begin()
        elif told.kind == EventKind.DELTA:
            teller.say(orjson.loads(told.data)["text"])
        else:
            teller.start(orjson.loads(told.data)["attempt"])
        return teller.take()

    async def _pass_on(self, tell: Tell, follower: Follower, told: Told) -> None:
        if told.kind == "snapshot":
            await self._retell(tell)
        elif EventKind(told.kind).is_terminal:
            await self._end(tell)
        else:
            await super()._pass_on(tell, follower, told)

    async def _retell(self, tell: Tell) -> Story | None:
        """Tells what the database has beyond what was told. None if the response is gone."""
        try:
            story = await self._resources.database.read(self._story)
        except NotFound:
            return None
        self._teller = retell(story, after=self._teller.last)
        self._has_begun_telling = True
        if chunk := self._teller.take():
            await tell(chunk)
        return story

    def _story(self, connection: Connection) -> Story:
        return Story(*responses.whole(connection, self._tenant_id, self._reply_id))

    async def _end(self, tell: Tell) -> None:
        await self._retell(tell)
        await tell(DONE)
