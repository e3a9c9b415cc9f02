"""The stream of one response: the reply's own events as they come, told in OpenAI's words.

What the live events leave out is told anew from the database: the numbers say what the client has already.
"""

from __future__ import annotations

import asyncio
import logging

import orjson
from sqlalchemy import Connection
from starlette.requests import ClientDisconnect

from api.dependencies import Resources
from api.live.following import Follower, Told, place_of
from api.live.sse import Tell
from api.live.streams import BEHIND_SECONDS, Stream
from api.openai_compat.events import DONE, Story, Teller, retell
from api.rendering import Row, is_live
from api.services import responses
from shared.errors import NotFound, StorageError
from shared.messaging.reply_events import EventKind

log = logging.getLogger(__name__)

# How often to look for what is to be kept, and how long to wait between two looks.
KEPT_LOOKS, KEPT_SECONDS = 10, 0.1
_STEPS = frozenset({EventKind.QUEUED, EventKind.STARTED, EventKind.RESTARTED, EventKind.DELTA})


class ResponseStream(Stream):
    """One response, from the event behind number `after` on."""

    def __init__(self, resources: Resources, tenant_id: str, row: Row, *, after: int = -1) -> None:
        super().__init__(resources, tenant_id, row["conversation_id"])
        self._reply_id: str = row["id"]
        self._teller = Teller(row, after=after)
        self._has_begun_telling = False
        self._is_done = False
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
        if self._is_done:
            return
        if told.kind in _STEPS:
            await super()._pass_on(tell, follower, told)
        else:
            await self._retell(tell, follower)

    async def _retell(self, tell: Tell, follower: Follower) -> None:
        """Tells what the database has beyond what was told, and goes on from there."""
        story = await self._read_story()
        looks = 0
        while story is not None and retell(story).known < self._teller.known and looks < KEPT_LOOKS:
            # What a lost try had said is kept a moment after it was taken over.
            looks += 1
            await asyncio.sleep(KEPT_SECONDS)
            story = await self._read_story()
        if story is None:
            await self._finish(tell, follower)
            return
        self._take_up(story)
        if chunk := self._teller.take():
            await tell(chunk)
        if is_live(story.row):
            # It may have come further since the follower looked; what is in this text is not to be told again.
            follower.cursor = place_of(story.row)
        else:
            await self._finish(tell, follower)

    def _take_up(self, story: Story) -> None:
        """Goes on from the story, or where it knows less than was told, from what was told."""
        retold = retell(story, after=self._teller.last)
        self._has_begun_telling = True
        if retold.known >= self._teller.known:
            self._teller = retold
        elif not is_live(story.row):
            self._teller.end(story.row)
        else:
            self._teller.start(story.row["attempt"])

    async def _read_story(self) -> Story | None:
        """None if it was erased. Read until the database answers: the follower is past what this tells."""
        while True:
            try:
                return await self._resources.database.read(self._story)
            except NotFound:
                return None
            except StorageError as error:
                log.warning("a stream waits for the database: %s", error)
                if self._is_left:
                    return None
                await asyncio.sleep(BEHIND_SECONDS)

    def _story(self, connection: Connection) -> Story:
        return Story(*responses.whole(connection, self._tenant_id, self._reply_id))

    async def _break_off(self, _tell: Tell) -> None:
        """Cuts the connection: the SDKs take every other end for the end of the response.

        Raises:
            ClientDisconnect: always.
        """
        raise ClientDisconnect

    async def _finish(self, tell: Tell, follower: Follower) -> None:
        self._is_done = follower.is_over = True
        await tell(DONE)
