"""The least that could carry tokens to browsers: one subscription, a queue a client, prebuilt bytes.

What the token bus is measured against: no log, no resumption, no order to keep, no database.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shared.messaging.reply_events import CHANNEL

_queues: dict[bytes, asyncio.Queue[bytes]] = {}


async def _listen() -> None:
    async with Redis.from_url(os.environ["BARE_REDIS_URL"]).pubsub() as pubsub:
        await pubsub.psubscribe(CHANNEL + "*")
        async for message in pubsub.listen():
            queue = _queues.get(message["channel"])
            if queue is not None and message["type"] == "pmessage":
                data = message["data"].split(b" ", 3)[3]
                queue.put_nowait(b"event: reply.delta\ndata: %b\n\n" % data)


async def _events(request: Request) -> StreamingResponse:
    channel = (CHANNEL + request.path_params["conversation_id"]).encode()

    async def told() -> AsyncIterator[bytes]:
        queue = _queues[channel] = asyncio.Queue()
        yield b": here\n\n"
        while True:
            yield await queue.get()

    return StreamingResponse(told(), media_type="text/event-stream")


async def _ready(_request: Request) -> Response:
    return Response()


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    task = asyncio.create_task(_listen())
    yield
    task.cancel()


app = Starlette(
    routes=[Route("/conversations/{conversation_id}/events/", _events), Route("/readyz", _ready)],
    lifespan=_lifespan,
)
