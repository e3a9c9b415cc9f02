"""Clients that stream replies, hang up on the way, and resume on whichever gateway comes next."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx2

from tests.fixtures.event_stream import Transcript, listening

PATIENCE_SECONDS = 240.0
PAUSE_SECONDS = 0.1


@dataclass
class Listened:
    """What a client was told of one reply, over all its connections."""

    reply_id: str
    shown: Transcript = field(default_factory=Transcript)
    ids: list[str] = field(default_factory=list)
    drops: int = 0


class Listeners:
    """Clients of several gateways. With each new connection they go to the next one."""

    def __init__(self, urls: Sequence[str]) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._http = httpx2.AsyncClient(timeout=PATIENCE_SECONDS, limits=limits)
        self._urls = urls
        self._turn = itertools.count()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def listen(self, listened: Listened, *, drop_after: Sequence[int] = ()) -> None:
        """Listens to the end; the first connections are dropped after so many events each."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for events in drop_after:
                dropped = listened.drops
                # A connection that broke by itself was not dropped. The last event before a drop may have been the
                # end, after which there is nothing to connect for.
                while listened.shown.ended is None and listened.drops == dropped:
                    await self.connect(listened, events=events)
            while listened.shown.ended is None:
                await self.connect(listened)

    async def connect(self, listened: Listened, *, events: int | None = None) -> None:
        """One connection, which lasts so many events if the reply does not end before."""
        url = self._urls[next(self._turn) % len(self._urls)]
        after = listened.ids[-1] if listened.ids else None
        try:
            async with listening(self._http, f"{url}/replies/{listened.reply_id}/events/", after=after) as stream:
                for count in itertools.count():
                    if count == events:
                        listened.drops += 1
                        return
                    told = await stream.next(seconds=PATIENCE_SECONDS)
                    if told is None:
                        assert listened.shown.ended, "a stream ended before its reply did"
                        return
                    assert told.id is not None
                    # Nothing twice, and nothing of a worker that has lost the reply.
                    assert not listened.ids or place(told.id) > place(listened.ids[-1]) or told.kind == "snapshot", told
                    listened.ids.append(told.id)
                    listened.shown.take(told)
        except httpx2.TransportError:
            await asyncio.sleep(PAUSE_SECONDS)


def place(cursor: str) -> tuple[int, int]:
    """A cursor's two numbers."""
    token, _, seq = cursor.partition("-")
    return int(token), int(seq)
