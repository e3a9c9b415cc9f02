"""What waits for an earlier turn is not in line for a worker, and is called by whoever ends that turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.database.models import DEFAULT_TENANT, replies, workers
from shared.reply_status import AttemptOutcome, OnBusy, StopRequest
from shared.store import candidates, claims, erasures, moves, stops, takeovers, turns
from shared.store.candidates import Again
from shared.store.claims import Claim
from shared.store.turns import Ask, Said
from tests.integration.shared.rows import CAPS, COMPLETED, CUT_SHORT, MINUTE, NOW, Tables
from tests.integration.shared.store.states import FAILED

LATE = NOW + MINUTE


def in_line(tables: Tables) -> list[str]:
    """The queued replies that a claim looks at."""
    return [row["id"] for row in tables.rows(replies, status="queued", waits_for_turn=False)]


def ask_late(tables: Tables, conversation_id: str, *, n: int = 1) -> list[str]:
    """What is still in time when the turn before is late."""
    return tables.ask(conversation_id, n=n, deadline_ms=10 * MINUTE)


def stop(how: StopRequest) -> Callable[[Tables, Claim], None]:
    def end(tables: Tables, held: Claim) -> None:
        tables.stop(held.reply_id, how)
        tables(moves.requeue, held, outcome=AttemptOutcome.RETRIED, next_at=NOW, now=NOW)

    return end


def cancel_queued(tables: Tables, held: Claim) -> None:
    tables(moves.requeue, held, outcome=AttemptOutcome.RETRIED, next_at=NOW, now=NOW)
    tables(stops.cancel, DEFAULT_TENANT, held.reply_id, now=NOW)


def expire(tables: Tables, _held: Claim) -> None:
    for row in tables(takeovers.overdue, now=LATE, limit=1):
        tables(takeovers.expire, row, caps=CAPS, now=LATE)


def die(tables: Tables, held: Claim) -> None:
    tables.change_reply(held.reply_id, on_crash="fail")
    (worker,) = tables.rows(workers)
    tables(takeovers.take_over, worker["id"], last_beat=worker["beat"], caps=CAPS, now=NOW)


ENDS: dict[str, Callable[[Tables, Claim], object]] = {
    "completed": lambda tables, held: tables(moves.finish, held, COMPLETED, now=NOW),
    "incomplete": lambda tables, held: tables(moves.finish, held, CUT_SHORT, now=NOW),
    "failed": lambda tables, held: tables(moves.finish, held, FAILED, now=NOW),
    "cancelled by its worker": stop(StopRequest.CANCEL),
    "interrupted by its worker": stop(StopRequest.INTERRUPT),
    "cancelled while it waits": cancel_queued,
    "late": expire,
    "lost with its worker": die,
}


@pytest.mark.parametrize("name", ENDS)
def test_whoever_ends_a_turn_calls_the_next_one(name: str, tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id)
    second, _third = ask_late(tables, conversation_id, n=2), ask_late(tables, conversation_id)
    (held,) = tables.claim()
    assert in_line(tables) == []
    ENDS[name](tables, held)
    assert in_line(tables) == sorted(second)
    assert [claim.reply_id for claim in tables.claim("worker_b", now=LATE)] == sorted(second)


def test_a_turn_is_called_when_the_last_candidate_before_it_has_ended(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id, n=2)
    second = tables.ask(conversation_id)
    first, last = tables.claim()
    tables(moves.finish, first, COMPLETED, now=NOW)
    assert in_line(tables) == []
    tables(moves.finish, last, FAILED, now=NOW)
    assert in_line(tables) == second


def test_a_turn_that_ends_behind_another_calls_nobody(tables: Tables) -> None:
    conversation_id = tables.conversation()
    first, second, _third = (tables.ask(conversation_id) for _ in range(3))
    tables(stops.cancel, DEFAULT_TENANT, second[0], now=NOW)
    assert in_line(tables) == first


def test_who_breaks_in_waits_for_what_still_runs_and_is_called(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id)
    tables.ask(conversation_id)
    (held,) = tables.claim()
    asked = Ask("Stop!", 1, None, "model", MINUTE, on_busy=OnBusy.INTERRUPT)
    turn = tables(turns.ask, DEFAULT_TENANT, conversation_id, asked=asked, now=NOW)
    assert in_line(tables) == []
    tables(moves.finish, held, COMPLETED, now=NOW)
    assert in_line(tables) == [turn.replies[0]["id"]]


def test_a_message_without_replies_is_waited_for_by_nobody(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables(turns.append, DEFAULT_TENANT, conversation_id, said=[Said("m")], now=NOW)
    assert tables.ask(conversation_id) == in_line(tables)


@pytest.mark.parametrize("again", ["regenerate", "retry"])
def test_what_is_queued_again_behind_a_live_turn_waits_for_it(again: str, tables: Tables) -> None:
    conversation_id = tables.conversation()
    first, (second,) = tables.ask(conversation_id), tables.ask(conversation_id)
    tables(stops.cancel, DEFAULT_TENANT, second, now=NOW)
    if again == "retry":
        tables(candidates.retry, DEFAULT_TENANT, second, deadline_ms=MINUTE, now=NOW)
    else:
        second = tables(candidates.regenerate, DEFAULT_TENANT, second, again=Again(MINUTE), now=NOW)
    assert in_line(tables) == first
    (held,) = tables.claim()
    tables(moves.finish, held, COMPLETED, now=NOW)
    assert in_line(tables) == [second]


def test_a_retry_behind_what_has_ended_waits_for_nobody(tables: Tables) -> None:
    """Whatever it waited for when it was cancelled."""
    conversation_id = tables.conversation()
    _, (second,) = tables.ask(conversation_id), tables.ask(conversation_id)
    (held,) = tables.claim()
    tables(stops.cancel, DEFAULT_TENANT, second, now=NOW)
    tables(moves.finish, held, COMPLETED, now=NOW)
    tables(candidates.retry, DEFAULT_TENANT, second, deadline_ms=MINUTE, now=NOW)
    assert in_line(tables) == [second]


def test_what_is_left_of_a_conversation_that_is_half_erased_goes_on(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "ROWS_AT_ONCE", 1)
    conversation_id = tables.conversation()
    _, _, (last,) = (tables.ask(conversation_id) for _ in range(3))
    tables(erasures.erase_one, DEFAULT_TENANT, conversation_id)
    assert in_line(tables) == [last]


def test_what_an_older_gateway_did_not_mark_waits_all_the_same(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id)
    (second,) = tables.ask(conversation_id)
    tables.change_reply(second, waits_for_turn=False)
    (held,) = tables.claim()
    assert tables.claim("worker_b") == []
    tables(moves.finish, held, COMPLETED, now=NOW)
    assert [claim.reply_id for claim in tables.claim("worker_b")] == [second]


def test_what_an_older_worker_left_waiting_is_found_and_called(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id)
    second = tables.ask(conversation_id)
    (held,) = tables.claim()
    assert tables(takeovers.left_waiting) == []
    tables(moves.finish, held, COMPLETED, now=NOW)
    tables.change_reply(second[0], waits_for_turn=True)
    assert not tables(claims.has_due, now=NOW)
    assert tables(takeovers.left_waiting) == [conversation_id]
    tables(takeovers.call_left_waiting, conversation_id)
    assert (in_line(tables), tables(takeovers.left_waiting)) == (second, [])
