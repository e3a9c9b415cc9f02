"""Requests that are being answered now: how many of one key there may be, and their end when it is no good any more.

Most are over in a moment. Those that last are streams, waits and bodies that come slowly, so that a bound on all is a
bound on these, met before anything is accepted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from starlette.types import Message, Receive

from api.entry.auth import Identity
from shared.background import end, woken
from shared.clock import now_ms
from shared.database.access import Database
from shared.errors import StorageError, TooManyAtOnce
from shared.settings import Settings
from shared.store import keys

log = logging.getLogger(__name__)

# How often the keys of what is being answered are looked up.
LOOK_SECONDS = 2.0
# Of all tokens for one conversation: some tabs, and some that are about to close.
MAX_OF_CONVERSATION = 50
_KEYS_A_QUERY = 500


class OpenRequest:
    """One request, until it is answered."""

    __slots__ = ("_listening", "identity", "is_ended")

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.is_ended = False
        self._listening: asyncio.Task[object] | None = None

    def end(self) -> None:
        """Whoever sent it may not any more: it sees the client leave."""
        self.is_ended = True
        if self._listening is not None:
            self._listening.cancel()

    def until_ended(self, receive: Receive) -> Receive:
        """`receive`, which tells that the client has gone also when the request is to end."""
        is_all_there = False

        async def receive_until_ended() -> Message:
            nonlocal is_all_there
            if not is_all_there:
                message = await receive()
                is_all_there = not message.get("more_body", False)
                return message
            # From here on it is a task of its own that waits for the client to leave.
            if self.is_ended:
                return {"type": "http.disconnect"}
            self._listening = task = asyncio.current_task()
            try:
                return await receive()
            except asyncio.CancelledError:
                if not self.is_ended or task is None:
                    raise
                task.uncancel()
                return {"type": "http.disconnect"}
            finally:
                self._listening = None

        return receive_until_ended


class OpenRequests:
    """All requests with a key that this gateway is answering."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._most_of_key = settings.max_at_once_of_key
        self._most_of_tenant = settings.max_at_once_of_tenant
        self._of_key: defaultdict[str, set[OpenRequest]] = defaultdict(set)
        self._count: Counter[str] = Counter()  # by tenant, and by conversation for those with its tokens
        self._look_now = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts looking after the keys."""
        self._task = asyncio.create_task(self._look_forever(), name="open requests")

    async def stop(self) -> None:
        """Ends looking."""
        if self._task is not None:
            await end(self._task)

    def look_again(self) -> None:
        """A key was taken back just now."""
        self._look_now.set()

    @contextmanager
    def entered(self, identity: Identity, key_id: str) -> Iterator[OpenRequest]:
        """One more for the time of the block.

        Raises:
            TooManyAtOnce: there are as many as there may be.
        """
        bounds = [(identity.tenant_id, self._most_of_tenant)]
        if identity.conversation_id is not None:
            bounds.append((identity.conversation_id, MAX_OF_CONVERSATION))
        held = len(self._of_key.get(key_id, ()))
        if held >= self._most_of_key or any(self._count[name] >= most for name, most in bounds):
            raise TooManyAtOnce(
                "As many of your requests are open here as may be at once, streams and waiting ones among them. "
                "Close some, or try again in a moment."
            )
        request = OpenRequest(identity)
        own = self._of_key[key_id]
        own.add(request)
        self._count.update(name for name, _ in bounds)
        try:
            yield request
        finally:
            own.discard(request)
            if not own:
                self._of_key.pop(key_id, None)
            for name, _ in bounds:
                self._count[name] -= 1
                if not self._count[name]:
                    del self._count[name]

    async def _look_forever(self) -> None:
        while True:
            await woken(self._look_now, within_seconds=LOOK_SECONDS)
            try:
                await self._look()
            except StorageError as error:
                log.warning("the keys of open requests could not be looked up: %s", error)

    async def _look(self) -> None:
        """Ends the requests whose key or token is no good any more."""
        now = now_ms()
        ids = list(self._of_key)
        for start in range(0, len(ids), _KEYS_A_QUERY):
            batch = ids[start : start + _KEYS_A_QUERY]
            good = await self._database.read(keys.good_of, batch, now=now)
            for key_id in batch:
                self._end(list(self._of_key.get(key_id, ())), is_key_good=key_id in good, now=now)

    @staticmethod
    def _end(requests: Sequence[OpenRequest], *, is_key_good: bool, now: int) -> None:
        for request in requests:
            expires_at = request.identity.expires_at
            if not is_key_good or (expires_at is not None and expires_at <= now):
                request.end()
