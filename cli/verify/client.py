"""The clients' side of HTTP: whatever is not answered is sent again with the same key, to the next gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from cli.verify.history import History
from shared.errors import AsyncChatError

# A request without a wait is answered in milliseconds, or refused after the ten seconds a write may wait.
ANSWER_SECONDS = 15.0
# How long one thing is sent again and again. Far longer than any fault lasts.
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.25
IDEMPOTENCY_KEY = "Idempotency-Key"
# What a server says that could not do it now.
SERVER_ERRORS = 500
UNAVAILABLE = 503


class Unanswered(AsyncChatError):
    """Nobody answered a request for as long as a client is patient."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and the JSON of an answer that settles the request."""

    status: int
    body: Any

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class Client:
    """Sends requests to several gateways of one installation."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], history: History) -> None:
        self._session = session
        self._urls = urls
        self._history = history
        self.repeats = 0

    async def get(self, path: str, *, first: int = 0, wait: float = 0.0) -> Answer:
        """Reads, beginning at the gateway of this number."""
        return await self._until_answered("GET", path, first=first, wait=wait)

    async def delete(self, path: str) -> Answer:
        """Erases."""
        return await self._until_answered("DELETE", path)

    async def post(self, path: str, body: Any = None, *, key: str, first: int = 0, wait: float = 0.0) -> Answer:
        """Makes something, once, however often it must be sent.

        Raises:
            Unanswered: nobody said whether it was made.
        """
        return await self._until_answered("POST", path, body=body, key=key, first=first, wait=wait)

    async def _until_answered(
        self, method: str, path: str, *, body: Any = None, key: str | None = None, first: int = 0, wait: float = 0.0
    ) -> Answer:
        give_up_at = time.monotonic() + PATIENCE_SECONDS + wait
        number = first
        while True:
            answer = await self._send(method, number, path, body=body, key=key, wait=wait)
            if answer is not None:
                return answer
            if time.monotonic() > give_up_at:
                raise Unanswered(f"{method} {path} was not answered for {PATIENCE_SECONDS:g} s")
            number += 1
            self.repeats += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _send(
        self, method: str, number: int, path: str, *, body: Any, key: str | None, wait: float
    ) -> Answer | None:
        """One try; None when it has to be repeated."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key is not None:
            headers[IDEMPOTENCY_KEY] = key
        try:
            async with self._session.request(
                method,
                self._urls[number % len(self._urls)] + path,
                params={"wait": f"{wait:.3f}"} if wait else None,
                data=orjson.dumps(body) if body is not None else None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS + wait),
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        if response.status >= SERVER_ERRORS:
            if response.status != UNAVAILABLE:
                self._history.surprises.append(f"{method} {path} was answered with {response.status}: {raw[:200]!r}")
            return None
        try:
            return Answer(response.status, orjson.loads(raw) if raw else None)
        except ValueError:
            self._history.surprises.append(f"{method} {path} was answered with {response.status} and no JSON")
            return None
