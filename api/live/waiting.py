"""Holding a request until there is what it waits for.

Always in this order: listen, then read, then wait. What changes between the steps is then in what is read, or wakes
the waiter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection
from starlette.types import Receive

from api.live.hub import Hub
from api.live.watch import Watch
from shared.database.access import Database
from shared.errors import StorageError
from shared.store import conversations

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Awaited(Generic[T]):
    """What is waited for: how to look at it, which gives its conversation's version too, and when it is there."""

    conversation_id: str
    look: Callable[[], Awaitable[tuple[int | None, T]]]
    is_there: Callable[[T], bool]


async def wait_until(hub: Hub, *, awaited: Awaited[T], present: T, seconds: float, receive: Receive) -> T:
    """Waits up to `seconds` and returns the state at the end of it; `present` is the state that is known so far.

    `receive` is the request's: it tells when the client has gone, which ends the waiting.

    A database that does not answer ends the waiting, too: what is known is returned, since the request itself has
    long succeeded.

    Raises:
        NotFound: it was deleted meanwhile (whatever `awaited.look` raises).
    """
    if seconds <= 0 or awaited.is_there(present):
        return present
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    async with hub.watch(awaited.conversation_id) as watch:
        # So that abandoned requests do not pile up.
        leaving = asyncio.create_task(_end_when_gone(watch, receive))
        try:
            while True:
                watch.begin_reading()
                version, present = await awaited.look()
                remaining = deadline - loop.time()
                if remaining <= 0 or awaited.is_there(present):
                    return present
                if await watch.changed(seen=version, timeout=remaining):
                    continue
                if watch.is_over:
                    # The client has gone, or the process stops and answers thousands at once: no reading for that.
                    return present
                # Text grows without a change of version: the last look shows how far it has come.
                return (await awaited.look())[1]
        except StorageError as error:
            log.warning("a wait was cut short: %s", error)
            return present
        finally:
            leaving.cancel()


async def look_at(database: Database, conversation_id: str, read: Callable[[Connection], T]) -> tuple[int | None, T]:
    """What `read` finds, and before it the version of its conversation, in one snapshot."""
    return await database.read(_read_with_version, conversation_id, read)


def _read_with_version(
    connection: Connection, conversation_id: str, read: Callable[[Connection], T]
) -> tuple[int | None, T]:
    return conversations.version(connection, conversation_id), read(connection)


async def _end_when_gone(watch: Watch, receive: Receive) -> None:
    """Ends the watch when the client hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    watch.end()
