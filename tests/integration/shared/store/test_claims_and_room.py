"""Claims of a process that has room for some models only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from shared.database.models import attempts, workers
from shared.reply_status import AttemptOutcome
from shared.room import Place
from shared.store import claims, moves, turns
from shared.store.turns import Ask
from tests.integration.shared.rows import MINUTE, NOW, Tables

MANY = 60


class Places:
    """Room for so many replies of each model that is named, and for any number of the others."""

    def __init__(self, **left: int) -> None:
        self.left = left

    @property
    def least(self) -> int | None:
        return min((left for left in self.left.values() if left), default=None)

    def shut(self) -> Sequence[tuple[str, int]]:
        return [(model, route) for model, left in self.left.items() for route in range(2) if not left]

    def take(self, model: str, next_route: int) -> Place | None:
        if model in self.left:
            if not self.left[model]:
                return None
            self.left[model] -= 1
        return Place(f"upstream of {model}", f"{model} there", next_route)


def ask(tables: Tables, model: str, count: int = 1, *, tenant_id: str = "default", now: int = NOW) -> list[str]:
    """So many conversations, each with a queued reply of the model."""
    found = []
    for _ in range(count):
        conversation_id = tables.conversation(tenant_id=tenant_id)
        asked = Ask("Hello", 1, model, model, MINUTE)
        found.append(tables(turns.ask, tenant_id, conversation_id, asked=asked, now=now).replies[0]["id"])
    return found


def claimed(tables: Tables, left: Mapping[str, int], *, limit: int = 100) -> list[claims.Claim]:
    if not tables.rows(workers, id="worker_a"):
        tables.worker("worker_a")
    return tables(claims.claim, "worker_a", limit=limit, now=NOW, make_room=lambda: Places(**left))


def models(found: Sequence[claims.Claim]) -> dict[str, int]:
    return {claim.model: [each.model for each in found].count(claim.model) for claim in found}


def test_no_more_of_a_model_are_claimed_than_there_is_room_for(tables: Tables) -> None:
    ask(tables, "full", 9)
    assert models(claimed(tables, {"full": 3})) == {"full": 3}
    assert models(claimed(tables, {"full": 0})) == {}
    assert models(claimed(tables, {})) == {"full": 6}


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_one_behind_many_of_a_full_model_is_claimed_at_once(limit: int, tables: Tables) -> None:
    ask(tables, "full", MANY, now=NOW - 10)
    (other,) = ask(tables, "other")
    assert [claim.reply_id for claim in claimed(tables, {"full": 0}, limit=limit)] == [other]


def test_what_there_is_room_for_is_claimed_whatever_stands_between(tables: Tables) -> None:
    for model in ("full", "free", "few") * 20:
        ask(tables, model)
    assert models(claimed(tables, {"full": 0, "few": 2}, limit=15)) == {"few": 2, "free": 13}
    assert models(claimed(tables, {"full": 1, "few": 1})) == {"full": 1, "few": 1, "free": 7}


def test_a_full_model_is_not_due_for_who_has_no_room_for_it(tables: Tables) -> None:
    ask(tables, "full", 3)
    assert tables(claims.has_due, now=NOW)
    assert not tables(claims.has_due, now=NOW, shut=[("full", 0)])
    assert tables(claims.has_due, now=NOW, shut=[("full", 1), ("other", 0)])
    ask(tables, "other")
    assert tables(claims.has_due, now=NOW, shut=[("full", 0)])


def test_a_full_model_is_shared_fairly_between_tenants(tables: Tables) -> None:
    """Of two each time, one at a time: to be passed over twenty times happens once in a million runs."""
    ask(tables, "full", MANY, tenant_id="many", now=NOW - 10)
    ask(tables, "full", 1, tenant_id="few")
    order = [claimed(tables, {"full": 1})[0].tenant_id for _ in range(20)]
    assert "few" in order


def test_a_tenant_whose_model_is_full_does_not_delay_another(tables: Tables) -> None:
    ask(tables, "full", MANY, tenant_id="many", now=NOW - 10)
    others = ask(tables, "other", 4, tenant_id="few")
    assert sorted(claim.reply_id for claim in claimed(tables, {"full": 0}, limit=4)) == sorted(others)


def test_an_attempt_says_from_its_start_who_is_asked(tables: Tables) -> None:
    (reply_id,) = ask(tables, "some")
    (claim,) = claimed(tables, {})
    assert claim.place == Place("upstream of some", "some there", 0)
    (attempt,) = tables.rows(attempts, reply_id=reply_id)
    assert (attempt["upstream"], attempt["upstream_model"]) == ("upstream of some", "some there")


def test_a_reply_remembers_where_its_next_attempt_begins(tables: Tables) -> None:
    ask(tables, "some")
    (claim,) = claimed(tables, {})
    tables(moves.requeue, claim, outcome=AttemptOutcome.RETRIED, next_at=NOW, now=NOW, next_route=1)
    (again,) = claimed(tables, {})
    assert again.place is not None
    assert again.place.route == 1
    tables(moves.requeue, again, outcome=AttemptOutcome.HANDED_BACK, next_at=NOW, now=NOW)
    (third,) = claimed(tables, {})
    assert third.place == again.place


def test_a_model_may_be_shut_for_those_only_that_begin_at_one_of_its_routes(tables: Tables) -> None:
    ask(tables, "some", 2)
    first, second = claimed(tables, {})
    for claim, route in ((first, 0), (second, 1)):
        tables(moves.requeue, claim, outcome=AttemptOutcome.RETRIED, next_at=NOW, now=NOW, next_route=route)
    assert tables(claims.has_due, now=NOW, shut=[("some", 0)])
    assert not tables(claims.has_due, now=NOW, shut=[("some", 0), ("some", 1)])
