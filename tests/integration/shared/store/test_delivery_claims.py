"""How deliveries are claimed, and what becomes of them: fenced, fair, and never lost with their worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import RowMapping

from shared.clock import DAY_MS
from shared.database.models import DEFAULT_TENANT, webhook_deliveries, webhook_endpoints
from shared.store import delivery_claims, workers
from shared.store import webhook_deliveries as deliveries
from shared.store.claims import ProcessGone
from shared.store.delivery_claims import Delivery, Trial
from shared.store.moves import Lost
from shared.webhooks.delivery_status import DeliveryStatus, DisabledBecause
from tests.integration.shared.rows import NOW, Tables

WENT_WRONG = Trial("The receiver answered with HTTP 500.", 500, "boom")
WENT_WELL = Trial(None, 204, "")


@pytest.fixture
def endpoint_id(tables: Tables) -> str:
    tables.worker("worker_a")
    tables.worker("worker_b")
    return tables.listen()


def add(tables: Tables, endpoint_id: str) -> str:
    delivery_id: str = tables(deliveries.add_test, DEFAULT_TENANT, endpoint_id, now=NOW)
    return delivery_id


def claim(tables: Tables, rooms: dict[str, int], *, worker_id: str = "worker_a", now: int = NOW) -> list[Delivery]:
    return tables(delivery_claims.claim, worker_id, rooms=rooms, now=now)


def claim_one(tables: Tables, endpoint_id: str, *, worker_id: str = "worker_a", now: int = NOW) -> Delivery:
    (delivery,) = claim(tables, {endpoint_id: 9}, worker_id=worker_id, now=now)
    return delivery


def due(tables: Tables, *busy: str, now: int = NOW) -> set[str]:
    return set(tables(delivery_claims.due_endpoints, busy=busy, limit=9, now=now))


def row_of(tables: Tables, delivery_id: str) -> RowMapping:
    (row,) = tables.rows(webhook_deliveries, id=delivery_id)
    return row


def endpoint(tables: Tables, endpoint_id: str) -> RowMapping:
    (row,) = tables.rows(webhook_endpoints, id=endpoint_id)
    return row


def test_a_delivery_is_claimed_once(tables: Tables, endpoint_id: str) -> None:
    delivery_id = add(tables, endpoint_id)
    delivery = claim_one(tables, endpoint_id)
    assert (delivery.id, delivery.tries, delivery.url) == (delivery_id, 1, "https://receiver.example/hook")
    assert claim(tables, {endpoint_id: 9}, worker_id="worker_b") == []
    assert due(tables) == set()
    assert tables(delivery_claims.held_by, "worker_a") == {(delivery_id, delivery.token)}


def test_of_each_endpoint_as_many_are_taken_as_there_is_room_for(tables: Tables, endpoint_id: str) -> None:
    other, quiet, off = tables.listen(), tables.listen(), tables.listen(enabled=False)
    for each in (endpoint_id, endpoint_id, endpoint_id, other, off):
        add(tables, each)
    assert due(tables) == {endpoint_id, other}
    assert due(tables, endpoint_id) == {other}
    assert tables(delivery_claims.due_endpoints, busy=[], limit=1, now=NOW)[0] in {endpoint_id, other}
    taken = claim(tables, {endpoint_id: 2, other: 2, quiet: 2, off: 2})
    assert Counter(delivery.endpoint_id for delivery in taken) == {endpoint_id: 2, other: 1}


def test_what_failed_is_due_when_its_time_has_come(tables: Tables, endpoint_id: str) -> None:
    delivery_id = add(tables, endpoint_id)
    tables(delivery_claims.try_again, claim_one(tables, endpoint_id), WENT_WRONG, next_at=NOW + 500, now=NOW)
    row = row_of(tables, delivery_id)
    assert (row["status"], row["response_status"], row["response_text"]) == (DeliveryStatus.PENDING, 500, "boom")
    assert endpoint(tables, endpoint_id)["failing_since"] == NOW
    assert due(tables, now=NOW + 499) == set()
    again = claim_one(tables, endpoint_id, now=NOW + 500)
    assert (again.id, again.tries, again.payload) == (delivery_id, 2, row["payload"])
    tables(delivery_claims.succeed, again, WENT_WELL, now=NOW + 600)
    row = row_of(tables, delivery_id)
    assert (row["status"], row["error"], row["ended_at"], row["worker_id"]) == ("delivered", None, NOW + 600, None)
    assert endpoint(tables, endpoint_id)["failing_since"] is None


def test_who_lost_a_delivery_writes_nothing_more(tables: Tables, endpoint_id: str) -> None:
    add(tables, endpoint_id)
    first = claim_one(tables, endpoint_id)
    tables(delivery_claims.hand_back, first.id, first.token, now=NOW)
    second = claim_one(tables, endpoint_id, worker_id="worker_b")
    assert (second.tries, second.token) == (1, first.token + 2)
    tables(delivery_claims.hand_back, first.id, first.token, now=NOW)
    moves: tuple[Callable[[], object], ...] = (
        lambda: tables(delivery_claims.succeed, first, WENT_WELL, now=NOW),
        lambda: tables(delivery_claims.try_again, first, WENT_WRONG, next_at=NOW, now=NOW),
        lambda: tables(delivery_claims.give_up, first, WENT_WRONG, is_gone=True, failing_before=NOW, now=NOW),
    )
    for move in moves:
        with pytest.raises(Lost):
            move()
    assert row_of(tables, first.id)["worker_id"] == "worker_b"
    assert endpoint(tables, endpoint_id)["enabled"]
    assert endpoint(tables, endpoint_id)["failing_since"] is None


def test_what_the_dead_held_is_due_again_under_the_same_id(tables: Tables, endpoint_id: str) -> None:
    delivery_id = add(tables, endpoint_id)
    lost = claim_one(tables, endpoint_id)
    assert not tables(delivery_claims.has_stranded)
    assert tables(delivery_claims.take_over, now=NOW) == 0
    tables(workers.remove_silent, "worker_a", last_beat=1)
    assert tables(delivery_claims.has_stranded)
    assert tables(delivery_claims.take_over, now=NOW) == 1
    again = claim_one(tables, endpoint_id, worker_id="worker_b")
    assert (again.id, again.tries) == (delivery_id, 2)
    with pytest.raises(Lost):
        tables(delivery_claims.succeed, lost, WENT_WELL, now=NOW)
    with pytest.raises(ProcessGone):
        claim(tables, {endpoint_id: 9})


def test_a_worker_that_stops_leaves_everything_as_it_was(tables: Tables, endpoint_id: str) -> None:
    ids = {add(tables, endpoint_id) for _ in range(2)}
    claim(tables, {endpoint_id: 9})
    tables(delivery_claims.hand_back_all, "worker_a", now=NOW)
    again = claim(tables, {endpoint_id: 9}, worker_id="worker_b")
    assert {delivery.id: delivery.tries for delivery in again} == dict.fromkeys(ids, 1)


def test_a_receiver_that_is_gone_is_told_no_more(tables: Tables, endpoint_id: str) -> None:
    add(tables, endpoint_id)
    waiting = add(tables, endpoint_id)
    (delivery,) = claim(tables, {endpoint_id: 1})
    because = tables(delivery_claims.give_up, delivery, WENT_WRONG, is_gone=True, failing_before=NOW - DAY_MS, now=NOW)
    row = endpoint(tables, endpoint_id)
    assert (because, row["enabled"], row["disabled_because"]) == (DisabledBecause.GONE, False, "gone")
    assert row_of(tables, delivery.id)["status"] == DeliveryStatus.FAILED
    assert (row_of(tables, waiting)["status"], due(tables)) == (DeliveryStatus.PENDING, set())


def test_an_endpoint_is_switched_off_once_nothing_came_through_for_long(tables: Tables, endpoint_id: str) -> None:
    def give_up(*, now: int) -> object:
        add(tables, endpoint_id)
        delivery = claim_one(tables, endpoint_id, now=now)
        return tables(
            delivery_claims.give_up, delivery, WENT_WRONG, is_gone=False, failing_before=now - DAY_MS, now=now
        )

    assert give_up(now=NOW) is None
    assert give_up(now=NOW + DAY_MS - 1) is None
    assert endpoint(tables, endpoint_id)["enabled"]
    assert give_up(now=NOW + DAY_MS) is DisabledBecause.FAILING
    assert endpoint(tables, endpoint_id)["disabled_because"] == "failing"


def test_both_secrets_sign_until_the_rotation_is_over(tables: Tables) -> None:
    tables.worker("worker_a")
    endpoint_id = tables.listen(secret="new", previous_secret="old", previous_until=NOW + 10)
    add(tables, endpoint_id)
    both = claim_one(tables, endpoint_id, now=NOW + 9)
    tables(delivery_claims.hand_back, both.id, both.token, now=NOW)
    assert both.secrets == ("new", "old")
    assert claim_one(tables, endpoint_id, now=NOW + 10).secrets == ("new",)


def test_sending_again_gives_all_tries_back_under_the_same_id(tables: Tables, endpoint_id: str) -> None:
    delivery_id = add(tables, endpoint_id)
    delivery = claim_one(tables, endpoint_id)
    tables(deliveries.send_again, delivery_id, now=NOW)
    assert row_of(tables, delivery_id)["token"] == delivery.token, "it is being sent"
    tables(delivery_claims.succeed, delivery, WENT_WELL, now=NOW)
    tables(deliveries.send_again, delivery_id, now=NOW + 7)
    again = claim_one(tables, endpoint_id, now=NOW + 7)
    assert (again.id, again.tries, row_of(tables, delivery_id)["ended_at"]) == (delivery_id, 1, None)
