"""Usage: each try counts once, whoever ends it and whatever becomes of its conversation."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from sqlalchemy import event

from shared.clock import DAY_MS
from shared.database.engine import open_engine, parse_url
from shared.database.models import DEFAULT_TENANT, attempts, usage_days
from shared.ending import Ending, Failure, Usage
from shared.reply_status import AttemptOutcome, ReplyError, ReplyStatus, StopRequest
from shared.store import candidates, erasures, forks, moves, stops, takeovers, turns, usage, usage_report
from shared.store.turns import Ask
from shared.store.usage_report import By
from tests.integration.shared.rows import CAPS, COMPLETED, MINUTE, NOW, USAGE, Tables

LATE = NOW + 2 * MINUTE
REFUSED = Failure(ReplyError.RATE_LIMITED, "Not now.", retryable=True)
# What "Hello" is estimated to cost, and an answer of up to four bytes.
HELLO, SHORT = 6, 5


def report(tables: Tables, *by: By, tenant_id: str = DEFAULT_TENANT, limit: int = 100) -> Sequence[dict[str, Any]]:
    found = tables(
        usage_report.page,
        tenant_id,
        first_day=0,
        last_day=100_000,
        by=by or (By.MODEL,),
        limit=limit,
        after=None,
    )
    return [dict(row) for row in found]


def total(tables: Tables) -> dict[str, Any]:
    """The one sum there is, without what it is of and what it has none of."""
    (found,) = report(tables) or ({},)
    return {name: int(found[name]) for name in usage.SUMS if found and found[name]}


def count_all(tables: Tables) -> None:
    while tables(usage.count):
        pass


def test_a_completed_try_counts_before_and_after_it_is_in_a_days_sum(tables: Tables) -> None:
    tables(moves.finish, tables.running(), COMPLETED, now=NOW)
    expected = {
        "completed": 1,
        "attempts": 1,
        "input_tokens": USAGE.input_tokens,
        "output_tokens": USAGE.output_tokens,
    }
    assert total(tables) == expected
    assert tables(usage.has_uncounted)
    assert tables(usage.count) == 1
    assert total(tables) == expected
    assert not tables(usage.has_uncounted)
    assert tables(usage.count) == 0
    assert tables.count(usage_days) == 1


def test_every_try_counts_and_the_reply_where_it_ended(tables: Tables) -> None:
    claim = tables.running()
    paid = Usage(10, 2, is_estimated=True)
    retried = AttemptOutcome.RETRIED
    tables(moves.requeue, claim, outcome=retried, next_at=NOW, now=NOW, failure=REFUSED, usage=paid)
    (claim,) = tables.claim()
    count_all(tables)
    tables(moves.finish, claim, COMPLETED, now=NOW)
    expected = {"completed": 1, "attempts": 2, "input_tokens": 22, "output_tokens": 36, "estimated_tokens": 12}
    assert total(tables) == expected
    count_all(tables)
    assert total(tables) == expected


def test_a_reply_that_is_stopped_between_two_tries_ends_with_the_try_before(tables: Tables) -> None:
    claim = tables.running()
    tables.stop(claim.reply_id, StopRequest.CANCEL)
    tables(moves.requeue, claim, outcome=AttemptOutcome.HANDED_BACK, next_at=NOW, now=NOW, usage=Usage(4, 0))
    assert total(tables) == {"cancelled": 1, "attempts": 1, "input_tokens": 4}


@pytest.mark.parametrize("is_counted", [False, True])
def test_a_reply_that_ends_in_the_queue_counts_without_a_try(tables: Tables, *, is_counted: bool) -> None:
    cancelled, late = tables.asked() + tables.asked()
    tables(stops.cancel, DEFAULT_TENANT, cancelled, now=NOW)
    (overdue,) = tables(takeovers.overdue, now=LATE, limit=9)
    assert overdue.id == late
    tables(takeovers.expire, overdue, caps=CAPS, now=LATE)
    if is_counted:
        count_all(tables)
    assert total(tables) == {"cancelled": 1, "failed": 1}


def test_a_reply_that_is_tried_again_on_request_ends_twice(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    tables(stops.cancel, DEFAULT_TENANT, reply_id, now=NOW)
    tables(candidates.retry, DEFAULT_TENANT, reply_id, deadline_ms=MINUTE, now=NOW)
    (claim,) = tables.claim()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    assert total(tables)["cancelled"] == total(tables)["completed"] == 1
    count_all(tables)
    assert total(tables)["cancelled"] == total(tables)["completed"] == 1


@pytest.mark.parametrize("on_crash", ["restart", "keep_partial", "fail"])
def test_what_a_dead_worker_had_spent_is_estimated_from_its_prompt_and_text(tables: Tables, on_crash: str) -> None:
    conversation_id = tables.conversation(instructions="Hello")
    (reply_id,) = tables.ask(conversation_id)
    tables.change_reply(reply_id, on_crash=on_crash)
    (claim,) = tables.claim()
    tables(moves.save_partial, claim, "The ")
    tables(takeovers.take_over, "worker_a", last_beat=1, caps=CAPS, now=NOW)
    found = total(tables)
    assert (found["input_tokens"], found["output_tokens"]) == (2 * HELLO, SHORT)
    assert found["estimated_tokens"] == 2 * HELLO + SHORT
    assert found["attempts"] == 1


def test_a_deadline_that_a_sweeper_saw_to_costs_what_was_said(tables: Tables) -> None:
    claim = tables.running()
    tables(moves.save_partial, claim, "The ")
    (overdue,) = tables(takeovers.overdue, now=LATE, limit=9)
    tables(takeovers.expire, overdue, caps=CAPS, now=LATE)
    expected = {"failed": 1, "attempts": 1, "input_tokens": HELLO, "output_tokens": SHORT}
    assert total(tables) == {**expected, "estimated_tokens": HELLO + SHORT}


def test_of_a_worker_and_a_sweeper_that_end_a_try_at_once_one_counts(tables: Tables) -> None:
    claim = tables.running()
    tables(takeovers.take_over, "worker_a", last_beat=1, caps=CAPS, now=NOW)
    with pytest.raises(moves.Lost):
        tables(moves.finish, claim, COMPLETED, now=NOW)
    assert total(tables)["attempts"] == 1
    assert "completed" not in total(tables)


def test_usage_outlives_its_conversation_whether_or_not_it_was_counted(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id)
    tables.ask(conversation_id)
    (claim,) = tables.claim()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    count_all(tables)
    (claim,) = tables.claim()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    before = total(tables)
    tables(erasures.erase, [conversation_id])
    assert tables.count(attempts) == 0
    assert total(tables) == before
    count_all(tables)
    assert total(tables) == before == {"completed": 2, "attempts": 2, "input_tokens": 24, "output_tokens": 68}


def test_erasing_what_is_under_way_costs_what_was_said_and_cancels(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id)
    tables.ask(conversation_id)
    (claim,) = tables.claim()
    tables(moves.save_partial, claim, "The ")
    tables(erasures.erase, [conversation_id])
    with pytest.raises(moves.Lost):
        tables(moves.finish, claim, COMPLETED, now=NOW)
    expected = {"cancelled": 2, "attempts": 1, "input_tokens": HELLO, "output_tokens": SHORT}
    assert total(tables) == {**expected, "estimated_tokens": HELLO + SHORT}


def test_a_copy_has_cost_nothing(tables: Tables) -> None:
    conversation_id = tables.conversation()
    (reply_id,) = tables.ask(conversation_id)
    tables(stops.cancel, DEFAULT_TENANT, reply_id, now=NOW)
    tables(forks.fork, DEFAULT_TENANT, conversation_id, up_to_turn=None, now=NOW)
    assert total(tables) == {"cancelled": 1}


def test_sums_are_told_apart_by_day_model_key_and_end_user(tables: Tables) -> None:
    for number, (day, model, key, end_user) in enumerate(
        [(1, "a", "key_1", "ada"), (1, "a", "key_1", "bob"), (2, "b", "key_2", "ada"), (2, "a", None, None)]
    ):
        conversation_id = tables.conversation(end_user=end_user)
        asked = Ask("Hello", 1, model, "", MINUTE, key_id=key)
        tables(turns.ask, DEFAULT_TENANT, conversation_id, asked=asked, now=day * DAY_MS)
        (claim,) = tables.claim(now=day * DAY_MS)
        ending = Ending(ReplyStatus.COMPLETED, "Hello", Usage(10**number, 0))
        tables(moves.finish, claim, ending, now=day * DAY_MS)
        if number == 1:
            count_all(tables)

    def sums(*by: By) -> list[tuple[Any, ...]]:
        return [(*(row[each.column] for each in by), int(row["input_tokens"])) for row in report(tables, *by)]

    for _ in range(2):
        assert sums(By.DAY) == [(1, 11), (2, 1100)]
        assert sums(By.MODEL) == [("a", 1011), ("b", 100)]
        assert sums(By.KEY) == [("", 1000), ("key_1", 11), ("key_2", 100)]
        assert sums(By.END_USER) == [("", 1000), ("ada", 101), ("bob", 10)]
        assert sums(By.END_USER, By.DAY) == [("", 2, 1000), ("ada", 1, 1), ("ada", 2, 100), ("bob", 1, 10)]
        count_all(tables)
    assert report(tables, By.DAY, tenant_id="other") == []


def test_an_end_user_that_is_forgotten_leaves_what_was_used(tables: Tables) -> None:
    for end_user in ("ada", "ada", "bob", None):
        conversation_id = tables.conversation(end_user=end_user)
        tables.ask(conversation_id)
        (claim,) = tables.claim()
        tables(moves.finish, claim, COMPLETED, now=NOW)
        if end_user != "ada" or tables.count(usage_days) == 0:
            count_all(tables)
    before = total(tables)
    tables(usage.forget_end_user, DEFAULT_TENANT, "ada")
    assert total(tables) == before
    assert [row["end_user"] for row in report(tables, By.END_USER)] == ["", "bob"]
    count_all(tables)
    assert total(tables) == before
    assert {row["end_user"] for row in tables.rows(attempts)} == {None}


def test_several_who_count_while_others_write_count_each_try_once(
    tables: Tables, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "COUNT_AT_ONCE", 3)
    running = [tables.running(worker_id=f"worker_{number}") for number in range(20)]
    is_over = Event()

    def count_on() -> None:
        engine = open_engine(parse_url(database_url), read_only=False)
        counted = 1
        while counted or not is_over.is_set():
            with engine.begin() as connection:
                counted = usage.count(connection)
        engine.dispose()

    with ThreadPoolExecutor() as counters:
        counting = [counters.submit(count_on) for _ in range(3)]
        for claim in running:
            tables(moves.finish, claim, COMPLETED, now=NOW)
        is_over.set()
        for each in counting:
            each.result()
    assert not tables(usage.has_uncounted)
    assert total(tables)["attempts"] == total(tables)["completed"] == 20


def test_more_than_a_helping_is_counted_in_several(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "COUNT_AT_ONCE", 2)
    tables.asked(n=3)
    for claim in tables.claim():
        tables(moves.finish, claim, COMPLETED, now=NOW)
    assert [tables(usage.count) for _ in range(3)] == [2, 1, 0]
    assert total(tables)["attempts"] == 3


def test_ending_a_reply_takes_no_statement_more(tables: Tables) -> None:
    """What usage adds to the end of a reply is a few columns."""
    claim = tables.running()
    seen: list[str] = []
    event.listen(tables.connection, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    tables(moves.finish, claim, COMPLETED, now=NOW)
    kinds = [statement.split()[0] for statement in seen if not statement.startswith("BEGIN")]
    assert kinds == ["UPDATE", "UPDATE", "INSERT", "UPDATE"]
