"""A client that does what the documentation tells clients to do, and notes down what it was promised."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2

# Longer than a gateway takes to say that its database is busy.
REQUEST_SECONDS = 30.0
# How long a client goes on asking before a test has failed.
PATIENCE_SECONDS = 240.0
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that was answered with 202 (or 200, where an earlier 202 was lost), and the replies it asks for."""

    conversation_id: str
    turn: int
    content: str
    reply_ids: tuple[str, ...]

    @classmethod
    def of_turn(cls, turn: dict[str, Any]) -> Self:
        """What a turn's JSON says."""
        return cls(
            turn["conversation_id"],
            turn["turn"],
            turn["message"]["content"],
            tuple(reply["id"] for reply in turn["replies"]),
        )


class Client:
    """Goes to the next gateway when one does not answer or says 503, with the same Idempotency-Key."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls  # It may grow.
        self._turn = itertools.count()
        limits = httpx2.Limits(max_connections=None)
        self.http = httpx2.AsyncClient(timeout=REQUEST_SECONDS, limits=limits)
        self.accepted: list[Accepted] = []
        # What it met on its way: the problem codes of 503, and the names of broken connections.
        self.turned_away: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def start(self, **body: Any) -> str:
        """A new conversation's id."""
        return str((await self._post("/conversations/", body))["id"])

    async def ask(self, conversation_id: str, content: str = "Hello, I am Ada", **body: Any) -> Accepted:
        """Asks until the message is accepted."""
        turn = await self._post(f"/conversations/{conversation_id}/ask-message/", {"content": content, **body})
        accepted = Accepted.of_turn(turn)
        self.accepted.append(accepted)
        return accepted

    async def ask_anew(self, content: str = "Hello, I am Ada", *, model: str, **body: Any) -> Accepted:
        """Asks in a new conversation."""
        return await self.ask(await self.start(model=model), content, **body)

    async def ask_many(self, conversations: int, *, turns: int = 1, model: str, **body: Any) -> list[Accepted]:
        """So many new conversations, the turns of each one after the other."""

        async def converse(number: int) -> list[Accepted]:
            conversation_id = await self.start(model=model)
            return [
                await self.ask(conversation_id, f"Hello, I am Ada {number}, for the {turn}. time", **body)
                for turn in range(1, turns + 1)
            ]

        asked = await asyncio.gather(*(converse(number) for number in range(conversations)))
        return [accepted for each in asked for accepted in each]

    async def send_once(self, url: str, body: dict[str, Any]) -> httpx2.Response:
        """One POST without a key and without a repeat.

        Raises:
            ConnectionError: the connection broke before there was an answer.
        """
        try:
            return await self.http.post(url, json=body)
        except httpx2.TransportError as error:
            raise ConnectionError from error

    async def get(self, path: str) -> dict[str, Any]:
        """What is there, from whichever gateway answers."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    answer = await self.http.get(self._next_url() + path, timeout=60)
                except httpx2.TransportError as error:
                    self.turned_away[type(error).__name__] += 1
                else:
                    if answer.status_code == 200:
                        found: dict[str, Any] = answer.json()
                        return found
                    self._note(answer)
                await asyncio.sleep(PAUSE_SECONDS)

    def _next_url(self) -> str:
        return self._urls[next(self._turn) % len(self._urls)]

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        key = uuid4().hex
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    answer = await self.http.post(self._next_url() + path, json=body, headers={"Idempotency-Key": key})
                except httpx2.TransportError as error:
                    self.turned_away[type(error).__name__] += 1
                else:
                    if answer.status_code in {200, 201, 202}:
                        made: dict[str, Any] = answer.json()
                        return made
                    self._note(answer)
                await asyncio.sleep(PAUSE_SECONDS)

    def _note(self, answer: httpx2.Response) -> None:
        """503 with Retry-After is the only refusal that a fault may cause."""
        assert answer.status_code == 503, answer.text
        assert "Retry-After" in answer.headers, answer.text
        self.turned_away[answer.json()["code"]] += 1


@asynccontextmanager
async def load(client: Client, *, conversations: int, model: str) -> AsyncIterator[None]:
    """For the block, so many people talk: each asks again as soon as it has been accepted, up to the block's end.

    What is under way at the end is still accepted.
    """
    over = asyncio.Event()

    async def talk(number: int) -> None:
        conversation_id = await client.start(model=model)
        for turn in itertools.count(1):
            accepted = await client.ask(conversation_id, f"Hello, I am Ada {number}, for the {turn}. time")
            await client.get(f"/conversations/{conversation_id}/turns/{accepted.turn}/?wait=20")
            if over.is_set():
                return

    talking = [asyncio.create_task(talk(number)) for number in range(conversations)]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*talking)
