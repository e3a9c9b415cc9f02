"""Cancel, interrupt, regenerate, select, retry, fork and delete, each against whatever else happens at that moment."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from shared.reply_status import TERMINAL, ReplyStatus
from tests.faults.asking import Accepted, Client
from tests.faults.installation import Installation
from tests.faults.judging import ERASED_MODEL, all_ended, judge

pytestmark = pytest.mark.anyio

quick = pytest.mark.quick
# Some answer at once, some take a while, some fail first: a stop meets the claim, the text, the retry and the finish.
MODELS = ("demo-fast", "demo-300ms", "demo-1000ms", "demo-fail-500-once", "demo-fail-429-once", "demo-reset-once")
# What a door may answer when others are quicker. Anything else is a mistake.
REFUSALS = {
    (404, "not_found"),
    (409, "busy"),
    (409, "not_last_turn"),
    (409, "not_selectable"),
    (409, "not_retryable"),
    (422, "invalid_value"),
    (422, "too_many_candidates"),
}


async def _dawdle(client: Client, chance: random.Random, path: str) -> None:
    """Looks a few times first, so that no two meet at the same moment."""
    for _ in range(chance.randint(0, 8)):
        await client.get(path)


@pytest.mark.parametrize("seed", [pytest.param(1, marks=quick), 2, 3])
async def test_cancel_against_claim_retry_and_finish(
    installation: Installation, client: Client, chance: random.Random
) -> None:
    await installation.start()
    told: dict[str, str] = {}

    async def ask_and_cancel() -> None:
        accepted = await client.ask_anew(model=chance.choice(MODELS), n=chance.randint(1, 2))
        # Behind it, so that it is seen whether the next turn goes on.
        later = await client.ask(accepted.conversation_id, model="demo-fast")
        for reply_id in chance.choice([accepted, later]).reply_ids:
            await _dawdle(client, chance, f"/replies/{reply_id}/")
            answer = await client.http.post(f"{chance.choice(installation.urls)}/replies/{reply_id}/cancel/")
            assert answer.status_code == 200, answer.text
            told[reply_id] = answer.json()["status"]

    await asyncio.gather(*(ask_and_cancel() for _ in range(40)))
    books = await judge(installation, client, statuses=TERMINAL - {ReplyStatus.INCOMPLETE})
    for reply_id, status in told.items():
        expected = status if ReplyStatus(status).is_terminal else ReplyStatus.CANCELLED
        assert books.reply(reply_id)["status"] == expected, "what was told is what came of it"
    assert books.statuses["failed"] == 0


@dataclass
class Life:
    """A conversation that several people use at once, each at random."""

    client: Client
    urls: list[str]
    chance: random.Random
    conversation_id: str
    is_erased_at_last: bool
    accepted: list[Accepted] = field(default_factory=list)
    reply_ids: list[str] = field(default_factory=list)

    async def live(self, *, steps: int) -> None:
        """Two people, and at last perhaps the end of it."""
        await self.ask()
        await asyncio.gather(self._use_it(steps), self._use_it(steps))
        if self.is_erased_at_last:
            await self.ask()
            await self._send("DELETE", f"/conversations/{self.conversation_id}/")
        else:
            self.client.accepted += self.accepted

    async def _use_it(self, steps: int) -> None:
        doors = [
            self.ask,
            self.interrupt,
            self.reject,
            self.cancel,
            self.regenerate,
            self.select,
            self.retry,
            self.fork,
        ]
        for _ in range(steps):
            await _dawdle(self.client, self.chance, f"/conversations/{self.conversation_id}/")
            await self.chance.choice([self.ask, *doors])()

    async def ask(self, on_busy: str = "enqueue") -> None:
        body = {
            "content": f"Hello, I am Ada {self.chance.random()}",
            "n": self.chance.randint(1, 2),
            "model": ERASED_MODEL if self.is_erased_at_last else self.chance.choice(MODELS),
            "on_busy": on_busy,
            "on_crash": self.chance.choice(["restart", "keep_partial", "fail"]),
        }
        made = await self._send("POST", f"/conversations/{self.conversation_id}/ask-message/", body)
        if made:
            accepted = Accepted.of_turn(made)
            self.accepted.append(accepted)
            self.reply_ids += accepted.reply_ids

    async def interrupt(self) -> None:
        await self.ask("interrupt")

    async def reject(self) -> None:
        await self.ask("reject")

    async def cancel(self) -> None:
        await self._to_a_reply("cancel")

    async def regenerate(self) -> None:
        made = await self._to_a_reply("regenerate")
        self.reply_ids += [reply["id"] for reply in made.get("replies", ()) if reply["id"] not in self.reply_ids]

    async def select(self) -> None:
        await self._to_a_reply("select")

    async def retry(self) -> None:
        await self._to_a_reply("retry")

    async def fork(self) -> None:
        made = await self._send("POST", f"/conversations/{self.conversation_id}/fork/", {})
        copied = await self.client.get(f"/conversations/{made['id']}/?messages=100")
        assert copied["live_replies"] == []

    async def _to_a_reply(self, what: str) -> dict[str, Any]:
        """Mostly to a late one, since only the last turn takes most of it."""
        reply_id = self.chance.choice(self.reply_ids[-4:])
        return await self._send("POST", f"/replies/{reply_id}/{what}/")

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: httpx2.Response = await self.client.http.request(
            method, self.chance.choice(self.urls) + path, json=body
        )
        if answer.is_success:
            made: dict[str, Any] = answer.json() if answer.content else {}
            return made
        assert (answer.status_code, answer.json()["code"]) in REFUSALS, answer.text
        return {}


@pytest.mark.parametrize(
    ("seed", "dies"), [pytest.param(1, False, marks=quick), (2, False), (3, False), (4, True), (5, True), (6, True)]
)
async def test_everything_that_can_be_asked_of_a_conversation_at_once(
    dies: bool,  # noqa: FBT001  A parameter of the test.
    *,
    installation: Installation,
    client: Client,
    chance: random.Random,
) -> None:
    """Also while a worker dies in the middle of it."""
    installation.add_worker(slots=20, fault=f"worker.text.received:{chance.randint(50, 300)}" if dies else None)
    await installation.start(gateways=2, workers=1)
    lives = [
        Life(client, installation.urls, chance, await client.start(), is_erased_at_last=number % 4 == 0)
        for number in range(12)
    ]
    await asyncio.gather(*(life.live(steps=12) for life in lives))
    await all_ended(installation)
    await judge(installation, client, statuses=TERMINAL)
    for life in lives:
        answer = await client.http.get(f"{installation.urls[0]}/conversations/{life.conversation_id}/")
        assert answer.status_code == (404 if life.is_erased_at_last else 200)
