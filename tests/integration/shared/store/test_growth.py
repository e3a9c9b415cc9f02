"""What runs all the time, and what a request asks for, costs the same however much there is: counted, not timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from bench.seed import seed
from shared.clock import DAY_MS, day_of, now_ms
from shared.database.models import DEFAULT_TENANT, idempotency_keys, webhook_deliveries
from shared.ending import Ending
from shared.ids import first_delivery_id, first_reply_id
from shared.reply_status import AttemptOutcome, ReplyStatus
from shared.store import (
    attempts,
    budgets,
    candidates,
    claims,
    conversations,
    delivery_claims,
    erasure_receipts,
    erasures,
    forks,
    idempotency,
    messages,
    moves,
    operations,
    outlived,
    replies,
    search,
    search_index,
    stops,
    takeovers,
    turns,
    usage,
    usage_report,
    workers,
)
from shared.store import (
    webhook_deliveries as delivery_rows,
)
from shared.store.budgets import Spender, Window
from shared.store.candidates import Again
from shared.store.claims import Claim
from shared.store.idempotency import KeyedRequest
from shared.store.search import Search
from shared.store.turns import Said
from shared.store.usage_report import By
from tests.fixtures.databases import Databases
from tests.fixtures.work import Work, clean_up, cleaned_up_by_nobody_else, counted_work
from tests.integration.shared.rows import CAPS, COMPLETED, Tables, opened_tables

FEW, MANY = 1, 20
HOUR = 3_600_000
# What may differ: a page is not full, or a loop ends sooner.
SLACK = 1000
FAILED = Ending(ReplyStatus.FAILED)


@dataclass
class Place:
    """A database with much or little history, and what is asked about in it."""

    tables: Tables
    work: Work
    long: str
    some: str
    endpoint: str

    def cost(self, ask: Callable[[Place], object]) -> int:
        """What it takes to ask this."""
        clean_up(self.tables.connection)
        self.work.read.clear()
        before = self.work.done
        ask(self)
        return self.work.done - before

    def asked(self) -> tuple[str, str]:
        """A new conversation with a queued reply."""
        conversation_id = self.tables.conversation()
        (reply_id,) = self.tables.ask(conversation_id, now=now_ms())
        return conversation_id, reply_id

    def held(self) -> Claim:
        """The claim of one."""
        _, reply_id = self.asked()
        (claim,) = [claim for claim in self.tables.claim(now=now_ms()) if claim.reply_id == reply_id]
        return claim


def _lived(tables: Tables, work: Work, *, size: int) -> Place:
    """So many times the history: conversations, messages in one of them, keys, deliveries, usage, texts to be found."""
    conversation_ids = seed(tables.connection, conversations=50 * size, messages=200 * size, searchable=True)
    (long,) = seed(tables.connection, conversations=1, messages=200 * size)
    endpoint = tables.listen()
    now = now_ms()
    common = {"tenant_id": DEFAULT_TENANT, "created_at": now}
    with tables.connection.begin():
        tables.connection.execute(
            insert(idempotency_keys),
            [
                {
                    **common,
                    "key": f"key-{number}",
                    "method": "POST",
                    "path": "/",
                    "request_hash": "hash",
                    "resource_type": "turn",
                    "resource_id": f"{conversation_ids[number % len(conversation_ids)]}/1",
                    "conversation_id": conversation_ids[number % len(conversation_ids)],
                }
                for number in range(100 * size)
            ],
        )
        tables.connection.execute(
            insert(webhook_deliveries),
            [
                {
                    **common,
                    "id": f"{first_delivery_id(now)[:-6]}{number:06}",
                    "endpoint_id": endpoint,
                    "conversation_id": conversation_ids[number % len(conversation_ids)],
                    "event": "reply.completed",
                    "payload": "{}",
                    "status": "delivered",
                    "available_at": now,
                    "ended_at": now,
                }
                for number in range(100 * size)
            ],
        )
    while tables(search_index.index_some):
        pass
    if tables.connection.dialect.name == "postgresql":
        with tables.connection.begin():
            tables.connection.exec_driver_sql("analyze")
        with tables.connection.begin():
            # In tables as small as these the planner would rather read all, where no index is needed yet.
            tables.connection.exec_driver_sql("set enable_seqscan = off")
    return Place(tables, work, long, conversation_ids[len(conversation_ids) // 2], endpoint)


@pytest.fixture(scope="module")
def places(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    """One database with little history, and one with much."""
    with counted_work() as work, ExitStack() as opened:
        urls = [databases.new(tmp_path_factory.mktemp("growth")) for _ in range(2)]
        both = [opened.enter_context(opened_tables(url)) for url in urls]
        opened.enter_context(cleaned_up_by_nobody_else(both[0].connection))
        few, many = (_lived(tables, work, size=size) for tables, size in zip(both, (FEW, MANY), strict=True))
        yield few, many
        opened.close()
        for url in urls:
            databases.drop(url)


TENANT = DEFAULT_TENANT
Ask = Callable[[Place], object]


def _page(**given: Any) -> Ask:
    asked: dict[str, Any] = {"limit": 9, "after": None, "statuses": (), "conversation_id": None, **given}
    return lambda place: place.tables(replies.page, TENANT, **asked)


def _deliveries(**given: Any) -> Ask:
    asked: dict[str, Any] = {"limit": 9, "after": None, "statuses": (), **given}
    return lambda place: place.tables(delivery_rows.page, place.endpoint, **asked)


def _conversations(**given: Any) -> Ask:
    asked: dict[str, Any] = {"limit": 9, "after": None, "order": "desc", "end_user": None, **given}
    return lambda place: place.tables(conversations.page, TENANT, **asked)


def _newest(place: Place) -> str:
    rows = place.tables(replies.page, TENANT, limit=9, after=None, statuses=(), conversation_id=place.some)
    return next(str(row["id"]) for row in rows if row["status"] == "completed")


def _finish(place: Place) -> None:
    place.tables(moves.finish, place.held(), COMPLETED, now=now_ms())


def _fail(place: Place) -> Claim:
    held = place.held()
    place.tables(moves.finish, held, FAILED, now=now_ms())
    return held


def _requeue(place: Place) -> None:
    place.tables(moves.requeue, place.held(), outcome=AttemptOutcome.RETRIED, next_at=now_ms() + HOUR, now=now_ms())


def _in_a_long_conversation(place: Place) -> None:
    """Asked, claimed, answered, and the next turn looked for."""
    for _ in range(3):
        place.tables.ask(place.long, now=now_ms())
    for _ in range(3):
        (held,) = place.tables.claim("worker_l", now=now_ms())
        place.tables(_newest_of_history, place.long, held.turn)
        place.tables(moves.finish, held, COMPLETED, now=now_ms())
        place.tables(claims.due_in, place.long, now=now_ms())


def _newest_of_history(connection: Connection, conversation_id: str, turn: int) -> None:
    history = messages.history(connection, conversation_id, turn)
    next(history)
    history.close()


def _spent(spender: Spender) -> Ask:
    window = Window.of(now_ms())
    return lambda place: place.tables(budgets.spent, TENANT, spender, "x", window=window, is_by_month=True)


def _asks(place: Place) -> list[tuple[turns.Where, turns.Ask]]:
    asked = turns.Ask("Hello", 1, None, "m", HOUR)
    return [(turns.Where(TENANT, conversation_id), asked) for conversation_id in (place.long, place.asked()[0])]


def _keyed(key: str) -> Ask:
    return lambda place: place.tables(
        idempotency.find, KeyedRequest(TENANT, key, "POST", "/", "hash", HOUR), now=now_ms()
    )


def _expire(place: Place) -> None:
    later = now_ms() + HOUR
    for row in place.tables(takeovers.overdue, now=later, limit=9):
        place.tables(takeovers.expire, row, caps=CAPS, now=later)


def _erase_some(place: Place) -> None:
    conversation_id, _ = place.asked()
    place.tables(erasures.erase_one, TENANT, conversation_id)


def _erase_end_user(place: Place) -> None:
    place.tables.conversation(end_user="ada")
    receipt = place.tables(erasure_receipts.begin, TENANT, "ada", now=now_ms())
    logs = erasure_receipts.Logs(0, has_left=False, expire_at=0)
    while place.tables(erasure_receipts.go_on, receipt["id"], logs=logs, now=now_ms()):
        pass


def _report(*by: By) -> Ask:
    # What it adds up it has to read: on this day there is as little with much history as with none.
    quiet = day_of(now_ms()) + 1
    days = {"first_day": quiet, "last_day": quiet}
    return lambda place: place.tables(usage_report.page, TENANT, by=by, limit=9, after=None, **days)


def _find(word: str) -> Ask:
    return lambda place: place.tables(search.find, Search(TENANT, [word], 9))


# Not here, since it may cost more where there is more:
# - what a tenant has spent, and a report: they add up the days that they are about, one row an end user. Who looks at
#   budgets takes no more than a fiftieth of the time with it.
# - the replies of one conversation that have some status: they are looked for in that conversation;
# - a word that is common: it is looked for in so many conversations, or for so long;
# - indexing for search: SQLite merges its segments now and then.
CALLS: dict[str, Ask] = {
    # Every claim, and every look for work.
    "claim and finish": _finish,
    "claim and fail": _fail,
    "claim and requeue": _requeue,
    "turns of a long conversation": _in_a_long_conversation,
    "has_due": lambda place: place.tables(claims.has_due, now=now_ms()),
    "has_due, some models full": lambda place: place.tables(claims.has_due, now=now_ms(), shut=[("demo", 0)]),
    "due_since": lambda place: place.tables(claims.due_since, now=now_ms()),
    "save_partial": lambda place: place.tables(moves.save_partial, place.held(), "The"),
    "held_by": lambda place: place.tables(takeovers.held_by, "worker_a"),
    "state": lambda place: place.tables(stops.state, _newest(place)),
    # Every sweep, and every beat.
    "beats": lambda place: place.tables(workers.beats),
    "ownerless": lambda place: place.tables(takeovers.ownerless),
    "expire": _expire,
    "has_stamps_from_future": lambda place: place.tables(takeovers.has_stamps_from_future, now=now_ms()),
    "stamp_again": lambda place: place.tables(takeovers.stamp_again, now=now_ms()),
    "take_over": lambda place: place.tables(takeovers.take_over, "worker_a", last_beat=1, caps=CAPS, now=now_ms()),
    "has_stranded": lambda place: place.tables(delivery_claims.has_stranded),
    "deliveries taken over": lambda place: place.tables(delivery_claims.take_over, now=now_ms()),
    # Every delivery.
    "due_endpoints": lambda place: place.tables(delivery_claims.due_endpoints, busy=["x"], limit=9, now=now_ms()),
    "claim of deliveries": lambda place: place.tables(
        delivery_claims.claim, place.tables.worker("worker_d"), rooms={place.endpoint: 4}, now=now_ms()
    ),
    # Every look of a gateway at all of it.
    "live_by_tenant": lambda place: place.tables(replies.live_by_tenant),
    "count_live": lambda place: place.tables(replies.count_live),
    "workers": lambda place: place.tables(workers.all_with_load),
    "spent with a key": _spent(Spender.KEY),
    "spent by an end user": _spent(Spender.END_USER),
    # Every round of upkeep.
    "has_uncounted": lambda place: place.tables(usage.has_uncounted),
    "count": lambda place: place.tables(usage.count),
    "left_waiting": lambda place: place.tables(takeovers.left_waiting),
    "left_behind": lambda place: place.tables(erasure_receipts.left_behind, before=now_ms()),
    "old keys": lambda place: place.tables(idempotency.has_older, before=now_ms() - DAY_MS),
    "old ephemeral ones": lambda place: place.tables(outlived.ephemeral, before=now_ms() - DAY_MS),
    "old ones, nothing old": lambda place: place.tables(outlived.of_any_kind, before=now_ms() - 9999 * DAY_MS),
    "old ones": lambda place: place.tables(outlived.of_any_kind, before=now_ms()),
    "old deliveries": lambda place: place.tables(delivery_rows.old, before=now_ms() - DAY_MS, limit=9),
    "has_pending": lambda place: place.tables(search_index.has_pending),
    "removals": lambda place: place.tables(search_index.removals),
    # Asking.
    "asks at once": lambda place: place.tables(turns.ask_many, _asks(place), now=now_ms()),
    "append": lambda place: place.tables(turns.append, TENANT, place.long, said=[Said("m")], now=now_ms()),
    "a key that is there": _keyed("key-7"),
    "a new key": _keyed("new"),
    "keys at once": lambda place: place.tables(
        idempotency.known, [KeyedRequest(TENANT, f"key-{number}", "POST", "/", "hash", HOUR) for number in range(30)]
    ),
    "regenerate": lambda place: place.tables(
        candidates.regenerate, TENANT, _newest(place), again=Again(HOUR), now=now_ms()
    ),
    "retry": lambda place: place.tables(
        candidates.retry, TENANT, _fail(place).reply_id, deadline_ms=HOUR, now=now_ms()
    ),
    "choose": lambda place: place.tables(candidates.choose, TENANT, _newest(place), now=now_ms()),
    "cancel": lambda place: place.tables(stops.cancel, TENANT, place.asked()[1], now=now_ms()),
    "fork": lambda place: place.tables(forks.fork, TENANT, place.some, up_to_turn=None, now=now_ms()),
    "erase": _erase_some,
    "erase an end user": _erase_end_user,
    # Reading.
    "conversation": lambda place: place.tables(conversations.get, TENANT, place.some),
    "conversations": _conversations(),
    "conversations, oldest first": _conversations(order="asc"),
    "conversations, further on": _conversations(after=(now_ms() - HOUR, "conv_z")),
    "conversations of an end user": _conversations(end_user="user"),
    "conversations as they were made": lambda place: place.tables(
        conversations.page_by_id, TENANT, limit=9, after=None, order="desc"
    ),
    "conversations to export": lambda place: place.tables(
        conversations.of_end_user, TENANT, "user", limit=9, after=None
    ),
    "last messages": lambda place: place.tables(messages.page, place.long, limit=9),
    "first messages": lambda place: place.tables(messages.page, place.long, limit=9, after=(0, 0)),
    "earlier messages": lambda place: place.tables(messages.page, place.long, limit=9, before=(90, 0)),
    "message of a turn": lambda place: place.tables(messages.of_turn, place.long, 50),
    "reply": lambda place: place.tables(replies.get, TENANT, _newest(place)),
    "replies of a turn": lambda place: place.tables(replies.of_turn, place.long, 50),
    "live replies": lambda place: place.tables(replies.live, place.long),
    "places": lambda place: place.tables(replies.places, place.long, limit=9),
    "tries": lambda place: place.tables(attempts.of_reply, _newest(place)),
    "replies": _page(),
    "replies, further on": _page(after=first_reply_id(now_ms() - HOUR)),
    "replies that failed": _page(statuses={ReplyStatus.FAILED}),
    "replies that wait": _page(statuses={ReplyStatus.QUEUED}),
    "replies that are live": _page(statuses={ReplyStatus.QUEUED, ReplyStatus.IN_PROGRESS}),
    "replies of a conversation": lambda place: _page(conversation_id=place.some)(place),
    "replies of a long conversation": lambda place: _page(conversation_id=place.long)(place),
    "deliveries": _deliveries(),
    "deliveries that failed": _deliveries(statuses={"failed"}),
    "report of a quiet day": _report(By.DAY),
    "a word that is rare": _find("zebra"),
    # What an operator looks at.
    "operations, live": lambda place: place.tables(operations.live, TENANT, limit=9),
    "operations, counts": lambda place: place.tables(operations.count_live, TENANT, now=now_ms()),
    "operations, accepted": lambda place: place.tables(
        operations.accepted, TENANT, since=first_reply_id(now_ms() - HOUR), limit=9
    ),
    "operations, failed": lambda place: place.tables(
        operations.failed, TENANT, since=first_reply_id(now_ms() - HOUR), limit=9
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_it_costs_the_same_however_much_there_is(name: str, places: tuple[Place, Place]) -> None:
    few, many = (place.cost(CALLS[name]) for place in places)
    assert many <= 1.5 * few + SLACK, places[1].work.read.most_common(5)
