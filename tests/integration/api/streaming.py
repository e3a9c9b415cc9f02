"""Gateways that serve streams on a port of their own, and a worker that a test lets speak word by word."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import httpx2
import uvicorn
from redis.asyncio import Redis
from sqlalchemy import Connection

from api.app import create_app
from api.http_protocol import BoundedHttp
from shared.background import end
from shared.clock import now_ms
from shared.database.access import Database
from shared.ending import Ending, Failure, Usage
from shared.liveness.aftermath import Aftermath
from shared.messaging.notices import Notifier
from shared.messaging.reply_events import DEFAULT_BOUNDS, LogBounds
from shared.reply_status import AttemptOutcome, ReplyError, ReplyStatus
from shared.settings import get_settings
from shared.store import moves, takeovers, workers
from shared.store.claims import Claim
from shared.store.takeovers import Caps, Moved
from tests.fixtures.waiting import BOUND_SECONDS, LOOK_AGAIN_SECONDS
from tests.integration.api.gateway import LONG_SECONDS, Gateway, PlayedWorker
from worker.reply_stream import Pacer, ReplyStream

BEAT_SECONDS = 1.0
CAPS = Caps(tries=4, model_calls=4)


class ServedGateway(Gateway):
    """A gateway on a port, in the test's own event loop."""

    url: str
    server: uvicorn.Server

    @property
    def connections(self) -> list[BoundedHttp]:
        """Those that are open, as the server sees them."""
        return cast(list[BoundedHttp], list(self.server.server_state.connections))

    def let_time_pass(self) -> None:
        """Where a head or a body is waited for with a bound, it has not come within it."""
        for connection in self.connections:
            for timer in (connection._head_timer, connection._body_timer):
                if timer is not None:
                    timer.cancel()
                    connection._give_up()


@asynccontextmanager
async def serving_gateway() -> AsyncIterator[ServedGateway]:
    """One gateway with the settings in the environment, served as `asyncchat api` serves it."""
    get_settings.cache_clear()
    app = create_app()
    config = uvicorn.Config(
        app, http=BoundedHttp, lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        # Not `serve()`, which takes the process's signals.
        task = asyncio.create_task(server._serve([listening]))
        async with asyncio.timeout(BOUND_SECONDS):
            while not server.started:
                assert not task.done(), "the gateway does not start"
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx2.AsyncClient(base_url=url, timeout=LONG_SECONDS) as client:
            gateway = ServedGateway(app, client)
            gateway.url, gateway.server = url, server
            try:
                yield gateway
            finally:
                await client.aclose()
                # As a signal would: open streams end at once.
                gateway.resources.hub.release()
                server.should_exit = True
                await task


class Speaker:
    """One try at one reply, which says what a test lets it say."""

    def __init__(self, claim: Claim, database: Database, notifier: Notifier) -> None:
        self.claim = claim
        self.stream = ReplyStream(claim, notifier, Pacer())
        self._database = database
        self._notifier = notifier
        self.stream.start()

    def say(self, *words: str) -> None:
        """Each word goes out as an event of its own."""
        for word in words:
            self.stream.take(word)
            self.stream.flush()

    async def save(self) -> None:
        """Stores the text so far, as workers do once a second."""
        await self._database.write(
            moves.save_partial,
            self.claim,
            self.stream.sent_text,
            cursor=str(self.stream.cursor),
            lengths=list(self.stream.lengths),
        )

    async def complete(self, *, is_told: bool = True) -> None:
        """The model is done."""
        await self._finish(Ending(ReplyStatus.COMPLETED, self.stream.text, Usage(3, 5)), is_told=is_told)

    async def fail(self) -> None:
        """The model gave up."""
        failure = Failure(ReplyError.RATE_LIMITED, "Too many requests.", retryable=True)
        await self._finish(Ending(ReplyStatus.FAILED, self.stream.text, failure=failure), is_told=True)

    async def put_back(self) -> None:
        """Another try at once."""
        sent = self.stream.said_in_vain()
        status = await self._database.write(
            moves.requeue, self.claim, outcome=AttemptOutcome.RETRIED, next_at=now_ms(), now=now_ms(), sent=sent
        )
        self.stream.leave(status)
        self._notifier.announce(self.claim.conversation_id)

    async def _finish(self, ending: Ending, *, is_told: bool) -> None:
        status = await self._database.write(moves.finish, self.claim, ending, now=now_ms(), sent=self.stream.said())
        if is_told:
            self.stream.end(status)
            self._notifier.announce(self.claim.conversation_id)


class StreamingWorker(PlayedWorker):
    """A worker that beats, and tells each word it says."""

    def __init__(self, database: Database, redis: Redis, *, bounds: LogBounds = DEFAULT_BOUNDS) -> None:
        super().__init__(database, redis)
        self.notifier = Notifier(redis, bounds=bounds)

    async def speak(self, reply_id: str) -> Speaker:
        """Claims what is due, and begins with this reply."""
        (speaker,) = await self.speak_all([reply_id])
        return speaker

    async def speak_all(self, reply_ids: Sequence[str]) -> list[Speaker]:
        """Claims what is due, and begins with these replies, in this order."""
        claims = {claim.reply_id: claim for claim in await self.claim()}
        return [Speaker(claims[reply_id], self._database, self.notifier) for reply_id in reply_ids]

    async def flush(self) -> None:
        """What was said so far has gone out."""
        await self.notifier._publish()

    async def beat_forever(self) -> None:
        """Shows that it lives."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._database.write(workers.beat, self._id)

    async def be_taken_for_dead(self) -> None:
        """What a sweeper does about it."""
        aftermath = Aftermath(self._database, self._redis, self.notifier, on_queued=lambda _ids: None)
        aftermath.follow(await self._database.write(self._take_over))
        while aftermath._tasks:
            await asyncio.wait(aftermath._tasks)
        await self.flush()

    def _take_over(self, connection: Connection) -> list[Moved]:
        # In one transaction, since it goes on beating.
        last_beat = workers.beats(connection)[self._id]
        return takeovers.take_over(connection, self._id, last_beat=last_beat, caps=CAPS, now=now_ms())


@asynccontextmanager
async def streaming_worker(
    database: Database, redis_url: str, *, bounds: LogBounds = DEFAULT_BOUNDS
) -> AsyncIterator[StreamingWorker]:
    """A worker for the block."""
    async with Redis.from_url(redis_url) as redis:
        worker = StreamingWorker(database, redis, bounds=bounds)
        await worker.start()
        worker.notifier.start()
        beating = asyncio.create_task(worker.beat_forever())
        try:
            yield worker
        finally:
            await end(beating)
            await worker.notifier.stop()
