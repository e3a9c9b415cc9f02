"""One HTTP call being answered: sending, waiting, and noticing that the client has left."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from demo_model.openai_errors import Headers, Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"

# Longer waits listen for the client's leaving; shorter ones look afterwards, which costs no task and no timer.
LISTENING_WAIT_SECONDS = 0.2
# close() with this option sends a TCP reset instead of the polite end of stream.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClientLeft(Exception):
    """The client closed the connection before the answer was complete."""


class Call:
    def __init__(self, receive: Receive, send: Send, *, transport: asyncio.Transport, number: int) -> None:
        self._receive = receive
        self._send = send
        self._transport = transport
        self._clock = asyncio.get_running_loop().time
        self.number = number
        self.started_at = self._clock()

    async def body(self) -> bytes:
        """The whole request body."""
        parts: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            parts.append(message["body"])
            if not message["more_body"]:
                return b"".join(parts)

    async def start(self, status: int, content_type: bytes, *, headers: Headers | None = None) -> None:
        request_id = b"req_demo_%d" % self.number
        ours = [(b"content-type", content_type), (b"x-request-id", request_id), *(headers or ())]
        await self._send({"type": "http.response.start", "status": status, "headers": ours})

    async def write(self, part: bytes) -> None:
        await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def end(self, part: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": part, "more_body": False})

    async def answer(
        self, body: bytes, *, status: int = 200, content_type: bytes = JSON, headers: Headers | None = None
    ) -> None:
        """A complete answer."""
        length = (b"content-length", str(len(body)).encode())
        await self.start(status, content_type, headers=[length, *(headers or ())])
        await self.end(body)

    async def refuse(self, refusal: Refusal, *, model: str = "") -> None:
        await self.answer(refusal.body(model), status=refusal.status, headers=refusal.headers())

    def elapsed(self) -> float:
        """Seconds since the call arrived."""
        return self._clock() - self.started_at

    async def wait_until(self, moment: float) -> None:
        """Wait until so many seconds after the call's arrival. Raises ClientLeft."""
        seconds = max(0.0, moment - self.elapsed())
        if seconds < LISTENING_WAIT_SECONDS:
            await asyncio.sleep(seconds)
        else:
            await self._listen(seconds)
        if self._transport.is_closing():
            await self._disconnected()
            raise ClientLeft

    async def hold(self, seconds: float) -> None:
        """Say nothing for so long. Raises ClientLeft."""
        await self._listen(seconds)

    async def reset(self) -> None:
        """Break the TCP connection, as a crashed peer or a firewall does."""
        raw: socket.socket = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
        await self._disconnected()

    async def _listen(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._disconnected()
        except TimeoutError:
            return
        raise ClientLeft

    async def _disconnected(self) -> None:
        """Until the server knows that the connection is gone; it would complain about an answer left open before."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
