"""A whole gateway inside a test's event loop, and the worker that a test plays itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI
from redis.asyncio import Redis

from api.app import create_app
from api.dependencies import Resources
from shared.clock import now_ms
from shared.database.access import Database
from shared.ending import Ending, Failure, Usage
from shared.ids import new_process_id
from shared.messaging.notices import channel
from shared.reply_status import AttemptOutcome, ReplyError, ReplyStatus
from shared.settings import get_settings
from shared.store import claims, moves, workers
from shared.store.claims import Claim

LONG_SECONDS = 30
MIGHT_HAVE = 0.15


class Gateway:
    """The application as a client and as its owner see it."""

    def __init__(self, app: FastAPI, client: httpx2.AsyncClient) -> None:
        self.app = app
        self.client = client

    @property
    def resources(self) -> Resources:
        """What it runs on."""
        resources: Resources = self.app.state.resources
        return resources

    async def new_conversation(self, **body: Any) -> str:
        """Its id."""
        answer = await self.client.post("/conversations/", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def ask(self, conversation_id: str, content: str = "Hello, I am Ada", **body: Any) -> dict[str, Any]:
        """The accepted turn."""
        answer = await self.client.post(
            f"/conversations/{conversation_id}/ask-message/", json={"content": content, **body}
        )
        assert answer.status_code == 202, answer.text
        turn: dict[str, Any] = answer.json()
        return turn

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON at a path."""
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content


@asynccontextmanager
async def running_gateway() -> AsyncIterator[Gateway]:
    """One gateway with the settings in the environment."""
    get_settings.cache_clear()
    app = create_app()
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Gateway(app, client)


class PlayedWorker:
    """What a worker does to the database and tells on Redis, one step at a time."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        self._id = new_process_id("worker")

    async def start(self) -> None:
        """Signs on."""
        await self._database.write(workers.register, self._id, host="test", now=now_ms())

    async def claim(self) -> list[Claim]:
        """Takes all that is due, in order of turn and candidate."""
        taken = await self._database.write(claims.claim, self._id, limit=100, now=now_ms())
        await self._tell(taken)
        return sorted(taken, key=lambda claim: (claim.turn, claim.candidate))

    async def write(self, claim: Claim, content: str) -> None:
        """Text so far; it is not announced."""
        await self._database.write(moves.save_partial, claim, content)

    async def complete(self, claim: Claim, content: str = "Hello, Ada") -> None:
        """The whole answer."""
        ending = Ending(ReplyStatus.COMPLETED, content, Usage(3, 5))
        await self._database.write(moves.finish, claim, ending, now=now_ms())
        await self._tell([claim])

    async def fail(self, claim: Claim) -> None:
        """No answer."""
        failure = Failure(ReplyError.RATE_LIMITED, "Too many requests.", retryable=True)
        await self._database.write(moves.finish, claim, Ending(ReplyStatus.FAILED, failure=failure), now=now_ms())
        await self._tell([claim])

    async def put_back(self, claim: Claim, *, next_at: int) -> None:
        """Another try later."""
        await self._database.write(moves.requeue, claim, outcome=AttemptOutcome.RETRIED, next_at=next_at, now=now_ms())
        await self._tell([claim])

    async def answer_all(self, content: str = "Hello, Ada") -> None:
        """Completes whatever is due."""
        for claim in await self.claim():
            await self.complete(claim, content)

    async def _tell(self, taken: list[Claim]) -> None:
        for claim in taken:
            await self._redis.publish(channel(claim.conversation_id), b"")


async def still_waits(task: asyncio.Task[Any]) -> bool:
    """Whether the task is not done after it has had time to."""
    await asyncio.wait([task], timeout=MIGHT_HAVE)
    return not task.done()
