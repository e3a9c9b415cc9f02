"""One client: it opens conversations and talks in them, as impatiently as clients do."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from cli.verify.choices import DEADLINE_SECONDS, STALLING, Choice, Style, choose, closing
from cli.verify.client import Answer, Client, Unanswered
from cli.verify.history import REJECT, Ask, History, Regeneration
from shared.reply_status import LIVE, ReplyStatus

TURNS = (2, 7)
THINK_SECONDS = 0.6
# A busy conversation refuses an ask that wants no queue; a regeneration may come too late, or be one too many.
BUSY = 409
REGENERATION_REFUSALS = (409, 422)
# Not of a reply that failed, nor of one that is not of the last turn.
SELECTION_ANSWERS = (200, 409)


class Speaker:
    """Talks until `stop` is set, in one conversation after another."""

    def __init__(
        self, name: str, client: Client, history: History, *, rng: random.Random, stop: asyncio.Event, style: Style
    ) -> None:
        self._name = name
        self._client = client
        self._history = history
        self._rng = rng
        self._stop = stop
        self._style = style
        self._said = 0

    async def run(self) -> None:
        """Talks. What nobody answers is noted down, and ends the conversation it was said in."""
        while not self._stop.is_set():
            try:
                await self._converse()
            except Unanswered as silence:
                self._history.surprises.append(str(silence))

    async def _converse(self) -> None:
        conversation_id = await self._open()
        if conversation_id is None:
            return
        for _ in range(self._rng.randint(*TURNS)):
            if self._stop.is_set():
                break
            ask = await self._ask(conversation_id, choose(self._rng))
            await self._meanwhile(ask)
            await self._think()
        if self._style.has_demo_model:
            await self._ask(conversation_id, closing())

    async def _open(self) -> str | None:
        """A new conversation's id; half of them begin with a question."""
        if self._rng.random() < 0.5:
            ask, body = self._new_ask(choose(self._rng, first=True))
            answers = await self._send("/conversations/", {"message": body}, key=ask.key)
            for answer in answers:
                if answer.status == 201:
                    self._history.accept(ask, answer.body["turn"], at=time.monotonic())
                else:
                    self._refused(ask, answer)
            return ask.conversation_id
        answers = await self._send("/conversations/", {}, key=self._new_key())
        ids = {answer.body["id"] for answer in answers if answer.status == 201}
        if len(ids) != 1:
            self._history.surprises.append(f"one key made {len(ids)} conversations: {sorted(ids)}")
            return None
        return str(ids.pop())

    async def _ask(self, conversation_id: str, choice: Choice) -> Ask:
        ask, body = self._new_ask(choice)
        ask.conversation_id = conversation_id
        for answer in await self._send(f"/conversations/{conversation_id}/ask-message/", body, key=ask.key):
            if answer.status in (200, 202):
                self._history.accept(ask, answer.body, at=time.monotonic())
            else:
                self._refused(ask, answer)
        return ask

    def _refused(self, ask: Ask, answer: Answer) -> None:
        ask.refusals.append(answer.status)
        if answer.status != BUSY or ask.on_busy != REJECT:
            self._history.surprises.append(f"{ask.key} was refused with {answer.status}: {answer.body}")

    async def _send(self, path: str, body: Any, *, key: str) -> list[Answer]:
        """Mostly once; sometimes again at another gateway, sometimes several times at the same moment."""
        first = self._rng.randrange(2)
        wait = round(self._rng.uniform(0.2, 3), 2) if self._rng.random() < 0.15 else 0.0
        draw = self._rng.random()
        if draw < 0.12:
            copies = self._rng.randint(3, 6)
            return list(
                await asyncio.gather(
                    *(self._client.post(path, body, key=key, first=first + copy, wait=wait) for copy in range(copies))
                )
            )
        answers = [await self._client.post(path, body, key=key, first=first, wait=wait)]
        if draw < 0.3:
            answers.append(await self._client.post(path, body, key=key, first=first + 1))
        return answers

    async def _meanwhile(self, ask: Ask) -> None:
        """What a client may do while its reply is made: wait for it, stop it, ask for another, or none of it."""
        if (place := ask.place) is None:
            return
        draw = self._rng.random()
        if draw < 0.5:
            await self._look(*place, wait=round(self._rng.uniform(0.5, 5), 2))
        elif draw < 0.6:
            await self._think()
            await self._cancel(self._rng.choice(sorted(next(iter(ask.accepted)).reply_ids)))
        elif draw < 0.7:
            await self._regenerate(ask, *place)
        elif draw < 0.75 and ask.n > 1:
            await self._select(*place)

    async def _look(self, conversation_id: str, turn: int, *, wait: float) -> list[dict[str, Any]]:
        path = f"/conversations/{conversation_id}/turns/{turn}/"
        answer = await self._client.get(path, first=self._rng.randrange(2), wait=wait)
        if not answer.is_success:
            self._history.surprises.append(f"GET {path} was answered with {answer.status}")
            return []
        self._history.see(answer.body["replies"])
        return list(answer.body["replies"])

    async def _cancel(self, reply_id: str) -> None:
        # The request comes first: it may have had its effect although nobody heard an answer.
        self._history.cancels.setdefault(reply_id, None)
        path = f"/replies/{reply_id}/cancel/"
        answer = await self._client.post(path, key=self._new_key(), first=self._rng.randrange(2))
        if answer.status != 200:
            self._history.surprises.append(f"POST {path} was answered with {answer.status}: {answer.body}")
            return
        self._history.cancels[reply_id] = answer.body["status"]
        self._history.see([answer.body])

    async def _regenerate(self, ask: Ask, conversation_id: str, turn: int) -> None:
        shown = await self._look(conversation_id, turn, wait=2.0)
        if not shown or ReplyStatus(shown[0]["status"]) in LIVE or ask.model == STALLING:
            return
        key = self._new_key()
        asked = Regeneration(key, conversation_id, turn)
        self._history.regenerations.append(asked)
        path = f"/replies/{self._rng.choice(sorted(next(iter(ask.accepted)).reply_ids))}/regenerate/"
        for answer in await self._send(path, {"deadline_seconds": DEADLINE_SECONDS}, key=key):
            if answer.status in (200, 202):
                asked.is_accepted = True
                self._history.see(answer.body["replies"])
            elif answer.status not in REGENERATION_REFUSALS:
                self._history.surprises.append(f"POST {path} was answered with {answer.status}: {answer.body}")

    async def _select(self, conversation_id: str, turn: int) -> None:
        if not (shown := await self._look(conversation_id, turn, wait=2.0)):
            return
        path = f"/replies/{shown[-1]['id']}/select/"
        answer = await self._client.post(path, key=self._new_key(), first=self._rng.randrange(2))
        if answer.status not in SELECTION_ANSWERS:
            self._history.surprises.append(f"POST {path} was answered with {answer.status}: {answer.body}")

    async def _think(self) -> None:
        """Until the next thing, or until everybody stops."""
        try:
            async with asyncio.timeout(self._rng.uniform(0, THINK_SECONDS)):
                await self._stop.wait()
        except TimeoutError:
            return

    def _new_ask(self, choice: Choice) -> tuple[Ask, dict[str, Any]]:
        key = self._new_key()
        content = f"This is {key}"
        ask = Ask(key, content, choice.model, choice.n, choice.on_busy, choice.on_crash, sent_at=time.monotonic())
        self._history.asks.append(ask)
        return ask, choice.body(content, self._style)

    def _new_key(self) -> str:
        self._said += 1
        return f"{self._name}-{self._said}"
