"""What must hold after every fault: the promise of docs/reliability.md, looked up in the database itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, Row, RowMapping, Table, func, select

from shared.clock import now_ms
from shared.database.models import attempts, is_live, messages, replies
from shared.errors import StorageError
from shared.reply_status import ReplyStatus
from tests.faults.asking import Accepted, Client
from tests.faults.installation import Installation
from tests.faults.patience import until
from tests.faults.witness import check_moves, hear_witness

# Far more than anything here takes, with a take-over or two.
ENDED_WITHIN_SECONDS = 240.0
# As shared.settings has them.
MAX_TRIES = 4
MAX_MODEL_CALLS = 2
COMPLETED = frozenset({ReplyStatus.COMPLETED})
# Answers in conversations that are to be deleted: their calls of the model cannot be compared with anything then.
ERASED_MODEL = "demo-erased"
# Others may have ended before the model was called, or do not count as a call.
_EACH_IS_A_CALL = frozenset({"completed", "lost"})


@dataclass(frozen=True, slots=True)
class Books:
    """All that the database has of messages, replies and attempts, and every move of a reply."""

    messages: Sequence[RowMapping]
    replies: Sequence[RowMapping]
    attempts: Sequence[RowMapping]
    moves: Sequence[Row[Any]]

    @property
    def outcomes(self) -> Counter[str]:
        """What became of the attempts."""
        return Counter(row["outcome"] for row in self.attempts)

    @property
    def statuses(self) -> Counter[str]:
        """How the replies ended."""
        return Counter(row["status"] for row in self.replies)

    def outcomes_of(self, reply_id: str) -> list[str]:
        """What became of each attempt at one reply."""
        return [row["outcome"] for row in self.attempts if row["reply_id"] == reply_id]

    def reply(self, reply_id: str) -> RowMapping:
        """One reply."""
        (row,) = (row for row in self.replies if row["id"] == reply_id)
        return row


def read_books(connection: Connection) -> Books:
    """Everything, in one moment."""

    def rows(table: Table) -> Sequence[RowMapping]:
        return connection.execute(select(table).order_by(*table.primary_key.columns)).mappings().all()

    return Books(rows(messages), rows(replies), rows(attempts), hear_witness(connection))


def _live(connection: Connection) -> Sequence[Row[Any]]:
    shown = ("id", "turn", "status", "attempt", "worker_id", "stop_requested", "created_at", "available_at")
    columns = [replies.c[name] for name in (*shown, "started_at", "deadline_at")]
    return connection.execute(select(*columns).where(is_live(replies)).order_by(replies.c.turn).limit(5)).all()


def _count_live(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(replies).where(is_live(replies))).scalar_one())


async def all_ended(installation: Installation, *, seconds: float = ENDED_WITHIN_SECONDS) -> None:
    """Waits until no reply is live."""

    async def is_so() -> bool:
        try:
            return await installation.database.read(_count_live) == 0
        except StorageError:
            return False  # The database is what was harmed.

    try:
        await until(is_so, seconds=seconds)
    except AssertionError:
        pytest.fail(f"still live at {now_ms()}: {await installation.database.read(_live)}")


async def judge(
    installation: Installation,
    client: Client,
    *,
    seconds: float = ENDED_WITHIN_SECONDS,
    statuses: Collection[ReplyStatus] = COMPLETED,
) -> Books:
    """Waits until everything has ended, and checks every promise; what the database has then."""
    await all_ended(installation, seconds=seconds)
    books = await installation.database.read(read_books)
    check(books, client.accepted)
    assert set(books.statuses) <= set(statuses), books.statuses
    await _the_model_was_not_paid_too_often(books, installation)
    await _the_file_is_whole(installation)
    return books


def check(books: Books, accepted: Collection[Accepted]) -> None:
    """What the rows alone tell, once no reply is live."""
    _nothing_is_lost(books, accepted)
    _nothing_is_there_twice(books)
    check_moves(books.moves)


def _nothing_is_lost(books: Books, accepted: Collection[Accepted]) -> None:
    said = {(row["conversation_id"], row["turn"]): row["content"] for row in books.messages if row["role"] == "user"}
    asked = defaultdict(set)
    for row in books.replies:
        asked[row["conversation_id"], row["turn"]].add(row["id"])
    for each in accepted:
        place = each.conversation_id, each.turn
        assert said.get(place) == each.content, f"{each} was accepted and is not stored"
        assert asked[place] >= set(each.reply_ids)
    places = [(each.conversation_id, each.turn) for each in accepted]
    assert len(places) == len(set(places)), "two messages were given one turn"


def _nothing_is_there_twice(books: Books) -> None:
    answers = Counter(row["reply_id"] for row in books.messages if row["role"] == "assistant")
    assert all(count == 1 for count in answers.values()), answers
    completed = {row["id"] for row in books.replies if row["status"] == ReplyStatus.COMPLETED}
    assert completed <= set(answers), "an answer was completed and is not in its conversation"
    said = Counter((row["conversation_id"], row["turn"], row["position"]) for row in books.messages)
    assert all(count == 1 for count in said.values())
    selected = Counter((row["conversation_id"], row["turn"]) for row in books.replies if row["selected"])
    assert all(count == 1 for count in selected.values())
    assert not [row for row in books.attempts if row["ended_at"] is None], "an attempt was never closed"


async def _the_model_was_not_paid_too_often(books: Books, installation: Installation) -> None:
    for row in books.replies:
        assert row["tries"] <= MAX_TRIES, row
        assert row["model_calls"] <= MAX_MODEL_CALLS, row
    async with httpx2.AsyncClient() as http:
        counted = (await http.get(f"{installation.demo.root_url}/stats")).json()["requests"]
    requests = sum(count for model, count in counted.items() if model != ERASED_MODEL)
    # A copy in a fork was paid for once.
    answered = {row["reply_id"] for row in books.attempts if row["outcome"] == ReplyStatus.COMPLETED}
    assert len(answered) <= requests <= len(books.attempts)
    if set(books.outcomes) <= _EACH_IS_A_CALL:
        assert requests <= sum(row["model_calls"] for row in books.replies)


def _integrity(connection: Connection) -> str:
    return str(connection.exec_driver_sql("pragma integrity_check").scalar())


async def _the_file_is_whole(installation: Installation) -> None:
    if installation.database.sqlite is not None:
        assert await installation.database.read(_integrity) == "ok"
