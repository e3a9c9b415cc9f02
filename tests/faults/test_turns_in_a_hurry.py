"""The next message is accepted in the very moment in which the turn before it ends: one of the two finds the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.ending import Ending
from shared.reply_status import ReplyStatus
from shared.store import claims, moves, turns, workers
from shared.store.claims import Claim
from shared.store.turns import Ask
from tests.faults.asking import Accepted
from tests.faults.judging import check, read_books
from tests.faults.witness import call_witness
from tests.fixtures.chats import Chats

pytestmark = pytest.mark.anyio

CONVERSATIONS = 25
HURRY_SECONDS = 60.0
ASK = Ask(content="Hello", n=1, chosen_model="demo", default_model="demo", deadline_ms=3_600_000)


@contextmanager
def _opened(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.start()
    try:
        yield database
    finally:
        database.stop()


class Crowd:
    """Two gateways and two workers, as far as the database knows them, and no tick that would find what they miss."""

    def __init__(self, gateways: list[Database], answering: list[Database], chance: random.Random) -> None:
        self._gateways = gateways
        self._workers = {f"worker_{number}": database for number, database in enumerate(answering)}
        self._chance = chance
        self._claimed: dict[str, asyncio.Future[Claim]] = {}
        self.accepted: list[Accepted] = []

    async def register(self) -> None:
        """The workers are there."""
        for worker_id, database in self._workers.items():
            await database.write(workers.register, worker_id, host="here", now=now_ms())

    async def talk(self, conversation_id: str, *, times: int) -> None:
        """Each message but the first is sent while the answer to the one before is being stored."""
        held = await self._asked_and_taken(conversation_id)
        for _ in range(times - 1):
            _, held = await asyncio.gather(self._finish(held), self._asked_and_taken(conversation_id))
        await self._finish(held)

    async def _asked_and_taken(self, conversation_id: str) -> Claim:
        """The gateway's side: accepted, then rung for."""
        taken = self._claimed[conversation_id] = asyncio.get_running_loop().create_future()
        await self._dawdle()
        gateway = self._chance.choice(self._gateways)
        turn = await gateway.write(turns.ask, DEFAULT_TENANT, conversation_id, asked=ASK, now=now_ms())
        reply_ids = tuple(reply["id"] for reply in turn.replies)
        self.accepted.append(Accepted(conversation_id, turn.turn, "Hello", reply_ids))
        await self._look_for_work()
        return await asyncio.wait_for(taken, HURRY_SECONDS)

    async def _finish(self, held: Claim) -> None:
        """The worker's side: stored, then a new look for what comes next."""
        await self._dawdle()
        worker = self._chance.choice(list(self._workers.values()))
        await worker.write(moves.finish, held, Ending(ReplyStatus.COMPLETED, "Hello, Ada"), now=now_ms())
        if await worker.read(claims.due_in, held.conversation_id, now=now_ms()):
            await self._look_for_work()

    async def _look_for_work(self) -> None:
        worker_id, database = self._chance.choice(list(self._workers.items()))
        for claim in await database.write(claims.claim, worker_id, limit=1, now=now_ms()):
            self._claimed[claim.conversation_id].set_result(claim)

    async def _dawdle(self) -> None:
        for _ in range(self._chance.randint(0, 20)):
            await asyncio.sleep(0)


@pytest.mark.parametrize(("total", "seed"), [pytest.param(500, 1, marks=pytest.mark.quick), (10_000, 1), (10_000, 2)])
async def test_a_message_sent_while_the_turn_before_it_ends_is_found_without_any_tick(
    total: int, database_url: str, database: Database, chance: random.Random
) -> None:
    call_witness(database_url)
    with ExitStack() as stack:
        databases = [stack.enter_context(_opened(database_url)) for _ in range(4)]
        crowd = Crowd(databases[:2], databases[2:], chance)
        await crowd.register()
        chats = Chats(database)
        conversation_ids = [await chats.start() for _ in range(CONVERSATIONS)]
        await asyncio.gather(*(crowd.talk(each, times=total // CONVERSATIONS) for each in conversation_ids))
    books = await database.read(read_books)
    check(books, crowd.accepted)
    assert books.outcomes == {"completed": total}
    assert len(crowd.accepted) == total
