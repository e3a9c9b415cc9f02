"""How a worker comes to hold a reply."""

from __future__ import annotations

import pytest

from shared.database.models import attempts, conversations
from shared.reply_status import AttemptOutcome, StopRequest
from shared.store import claims, moves, turns, workers
from shared.store.claims import ProcessGone
from shared.store.turns import Ask
from tests.integration.shared.rows import COMPLETED, MINUTE, NOW, Tables


def claimed(tables: Tables, *, limit: int = 100, now: int = NOW, worker_id: str = "worker_a") -> list[str]:
    return [claim.reply_id for claim in tables.claim(worker_id, limit=limit, now=now)]


def test_a_claim_makes_the_reply_the_workers(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    tables.claim(now=NOW + 5)
    reply = tables.reply(reply_id)
    assert (reply["status"], reply["worker_id"], reply["started_at"]) == ("in_progress", "worker_a", NOW + 5)
    assert (reply["attempt"], reply["tries"], reply["model_calls"], reply["token"]) == (1, 1, 1, 2)


def test_a_claim_says_what_the_row_says(tables: Tables) -> None:
    conversation_id = tables.conversation(instructions="Be brief.", model="m", parameters={"seed": 7})
    (reply_id,) = tables.ask(conversation_id)
    (claim,) = tables.claim()
    reply = tables.reply(reply_id)
    named = ("token", "tenant_id", "conversation_id", "turn", "candidate", "attempt", "tries", "model_calls")
    assert {name: getattr(claim, name) for name in named} == {name: reply[name] for name in named}
    assert (claim.model, claim.parameters, claim.instructions) == ("m", {"seed": 7}, "Be brief.")
    assert claim.deadline_at == reply["deadline_at"]


def test_a_claim_opens_an_attempt(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    tables.claim(now=NOW + 5)
    (attempt,) = tables.rows(attempts, reply_id=reply_id)
    assert (attempt["attempt"], attempt["worker_id"], attempt["started_at"]) == (1, "worker_a", NOW + 5)
    assert (attempt["ended_at"], attempt["outcome"]) == (None, None)


def test_a_claim_counts_as_a_change_that_moves_nothing_up(tables: Tables) -> None:
    tables.asked()
    (before,) = tables.rows(conversations)
    tables.claim(now=NOW + 5)
    (after,) = tables.rows(conversations)
    assert (after["version"], after["updated_at"]) == (before["version"] + 1, before["updated_at"])


def test_another_try_counts_on_and_keeps_the_first_start(tables: Tables) -> None:
    claim = tables.running()
    tables(moves.save_partial, claim, "The an")
    tables(moves.requeue, claim, outcome=AttemptOutcome.RETRIED, next_at=NOW, now=NOW)
    (again,) = tables.claim(now=NOW + 9)
    reply = tables.reply(claim.reply_id)
    assert (again.attempt, again.tries, again.model_calls) == (2, 2, 2)
    assert again.token > claim.token
    assert (reply["started_at"], reply["partial"]) == (NOW, None)
    assert tables.outcomes(claim.reply_id) == ["retried", None]


def test_a_reply_is_claimed_once(tables: Tables) -> None:
    tables.asked()
    assert len(claimed(tables)) == 1
    assert claimed(tables, worker_id="worker_b") == []


def test_no_turn_starts_before_the_one_before_it_has_ended(tables: Tables) -> None:
    conversation_id = tables.conversation()
    first, second = tables.ask(conversation_id), tables.ask(conversation_id)
    (held,) = tables.claim()
    assert [held.reply_id] == first
    assert claimed(tables) == []
    tables(moves.finish, held, COMPLETED, now=NOW)
    assert claimed(tables) == second


def test_a_turn_waits_for_every_candidate_of_the_one_before_it(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id, n=2)
    tables.ask(conversation_id)
    first, second = tables.claim()
    tables(moves.finish, first, COMPLETED, now=NOW)
    assert claimed(tables) == []
    tables(moves.finish, second, COMPLETED, now=NOW)
    assert len(claimed(tables)) == 1


def test_a_turn_waits_for_one_that_waits_for_its_next_try(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id)
    tables.ask(conversation_id)
    (held,) = tables.claim()
    tables(moves.requeue, held, outcome=AttemptOutcome.RETRIED, next_at=NOW + MINUTE // 2, now=NOW)
    assert claimed(tables) == []


def test_the_candidates_of_a_turn_may_run_side_by_side(tables: Tables) -> None:
    asked = tables.asked(n=3)
    first, second = claimed(tables, limit=2), claimed(tables, worker_id="worker_b")
    assert (len(first), sorted(first + second)) == (2, sorted(asked))


def test_the_oldest_are_claimed_first_up_to_the_limit(tables: Tables) -> None:
    asked = [tables.ask(tables.conversation(), now=NOW - age)[0] for age in (1, 3, 2)]
    assert sorted(claimed(tables, limit=2)) == sorted([asked[1], asked[2]])
    assert claimed(tables, limit=2) == [asked[0]]


def test_a_reply_is_not_claimed_before_it_is_available(tables: Tables) -> None:
    tables.ask(tables.conversation(), now=NOW + 1)
    assert claimed(tables, now=NOW) == []
    assert len(claimed(tables, now=NOW + 1)) == 1


def test_a_reply_is_not_claimed_at_its_deadline(tables: Tables) -> None:
    tables.asked()
    assert claimed(tables, now=NOW + MINUTE) == []
    assert len(claimed(tables, now=NOW + MINUTE - 1)) == 1


@pytest.mark.parametrize("how", StopRequest)
def test_a_reply_that_is_to_stop_is_not_claimed(how: StopRequest, tables: Tables) -> None:
    (reply_id,) = tables.asked()
    tables.stop(reply_id, how)
    assert claimed(tables) == []


def test_a_worker_without_a_row_gets_nothing(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    tables.worker("worker_a")
    tables(workers.remove, "worker_a")
    with pytest.raises(ProcessGone):
        tables(claims.claim, "worker_a", limit=1, now=NOW)
    assert tables.reply(reply_id)["status"] == "queued"


def test_whether_anything_is_due_is_known_without_a_write(tables: Tables) -> None:
    assert not tables(claims.has_due, now=NOW)
    tables.asked()
    assert tables(claims.has_due, now=NOW)
    assert not tables(claims.has_due, now=NOW - 1)
    tables.claim()
    assert not tables(claims.has_due, now=NOW)


def test_what_is_due_in_a_conversation_are_the_candidates_of_its_next_turn(tables: Tables) -> None:
    conversation_id = tables.conversation()
    first = tables.ask(conversation_id, n=2)
    tables.ask(conversation_id)
    tables.asked()
    assert sorted(tables(claims.due_in, conversation_id, now=NOW)) == sorted(first)


# --- several tenants ---


def asked_by(tables: Tables, tenant_id: str, count: int) -> set[str]:
    """So many conversations of the tenant, each with a queued reply."""
    asked = Ask("Hello", 1, None, "default-model", MINUTE)
    found = set()
    for _ in range(count):
        conversation_id = tables.conversation(tenant_id=tenant_id)
        turn = tables(turns.ask, tenant_id, conversation_id, asked=asked, now=NOW)
        found.add(turn.replies[0]["id"])
    return found


def test_who_has_queued_thousands_does_not_delay_the_others(tables: Tables) -> None:
    many = asked_by(tables, "many", 40)
    few = asked_by(tables, "few", 1) | asked_by(tables, "other", 1)
    taken = tables.claim(limit=6)
    assert few <= {claim.reply_id for claim in taken}
    assert len(taken) == 6
    assert set(claimed(tables, limit=100)) == many - {claim.reply_id for claim in taken}


def test_one_at_a_time_every_tenant_has_its_turn(tables: Tables) -> None:
    asked_by(tables, "many", 60)
    few = asked_by(tables, "few", 1)
    taken: list[str] = []
    while not few & set(taken):
        taken += claimed(tables, limit=1)
    # One of two each time: to be passed over so often happens once in a thousand million runs.
    assert len(taken) <= 30


def test_a_tenant_whose_replies_all_wait_takes_nobodys_place(tables: Tables) -> None:
    blocked = tables.conversation(tenant_id="blocked")
    asked = Ask("Hello", 1, None, "default-model", MINUTE)
    for _ in range(3):
        tables(turns.ask, "blocked", blocked, asked=asked, now=NOW)
    assert len(claimed(tables)) == 1
    mine = asked_by(tables, "mine", 5)
    assert set(claimed(tables, limit=5)) == mine
    assert claimed(tables) == []
