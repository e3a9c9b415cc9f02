"""Deliveries: made with the end of a reply, whoever ends it, and with nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sqlalchemy import RowMapping

from shared.database.models import DEFAULT_TENANT, webhook_deliveries
from shared.ending import Ending
from shared.ids import first_delivery_id, is_id
from shared.reply_status import OnCrash, StopRequest
from shared.store import erasures, moves, replies, stops, takeovers
from shared.store import webhook_deliveries as deliveries
from shared.store import webhook_endpoints as endpoints
from shared.webhooks.delivery_status import DeliveryStatus
from tests.integration.shared.rows import CAPS, COMPLETED, CUT_SHORT, MINUTE, NOW, Tables

LATE = NOW + 10 * MINUTE


def told(tables: Tables) -> list[str]:
    """The events, in the order in which they were made."""
    return [row["event"] for row in tables.rows(webhook_deliveries)]


def only(tables: Tables) -> RowMapping:
    (row,) = tables.rows(webhook_deliveries)
    return row


def _finish(ending: Ending) -> Callable[[Tables], object]:
    return lambda tables: tables(moves.finish, tables.running(), ending, now=NOW)


def _cancel_queued(tables: Tables) -> None:
    tables(stops.cancel, DEFAULT_TENANT, tables.asked()[0], now=NOW)


def _interrupt(tables: Tables) -> None:
    conversation_id = tables.conversation()
    for _ in range(2):
        tables.ask(conversation_id)
    tables(stops.interrupt, conversation_id, now=NOW)


def _expire(tables: Tables) -> None:
    tables.asked()
    (row,) = tables(takeovers.overdue, now=LATE, limit=9)
    tables(takeovers.expire, row, caps=CAPS, now=LATE)


def _take_over(tables: Tables) -> None:
    claim = tables.running()
    tables.change_reply(claim.reply_id, on_crash=OnCrash.FAIL)
    tables(takeovers.take_over, "worker_a", last_beat=1, caps=CAPS, now=NOW)


def _take_over_of_stopped(tables: Tables) -> None:
    claim = tables.running()
    tables.stop(claim.reply_id, StopRequest.CANCEL)
    tables(takeovers.take_over, "worker_a", last_beat=1, caps=CAPS, now=NOW)


ENDS: dict[str, tuple[Callable[[Tables], object], list[str]]] = {
    "completed": (_finish(COMPLETED), ["completed"]),
    "incomplete": (_finish(CUT_SHORT), ["incomplete"]),
    "cancelled while queued": (_cancel_queued, ["cancelled"]),
    "interrupted": (_interrupt, ["cancelled", "cancelled"]),
    "too late": (_expire, ["failed"]),
    "its worker died": (_take_over, ["failed"]),
    "its worker died, and it was to stop": (_take_over_of_stopped, ["cancelled"]),
}


@pytest.mark.parametrize("name", ENDS)
def test_whoever_ends_a_reply_tells_of_it(name: str, tables: Tables) -> None:
    end, statuses = ENDS[name]
    tables.listen()
    end(tables)
    assert told(tables) == [f"reply.{status}" for status in statuses]


def test_it_says_how_the_reply_looks_from_then_on(tables: Tables) -> None:
    endpoint_id = tables.listen()
    claim = tables.running()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    row = only(tables)
    assert (row["endpoint_id"], row["reply_id"], row["status"]) == (endpoint_id, claim.reply_id, DeliveryStatus.PENDING)
    said = json.loads(row["payload"])
    assert (said["id"], said["type"], said["timestamp"]) == (row["id"], "reply.completed", "1970-01-01T00:16:40.000Z")
    reply = said["data"]["reply"]
    assert (reply["id"], reply["content"], reply["selected"]) == (claim.reply_id, "The answer.", True)
    assert reply["usage"]["total_tokens"] == 46
    assert is_id("delivery", row["id"])


def test_the_name_of_the_event_chooses_the_words(tables: Tables) -> None:
    tables.listen("response.completed", "reply.failed")
    claim = tables.running()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    row = only(tables)
    assert json.loads(row["payload"]) == {
        "id": row["id"],
        "object": "event",
        "type": "response.completed",
        "created_at": NOW // 1000,
        "data": {"id": claim.reply_id.replace("reply_", "resp_")},
    }


def test_only_enabled_endpoints_of_the_tenant_that_want_the_event_are_told(tables: Tables) -> None:
    tables.listen(tenant_id="other")
    tables.listen(enabled=False)
    tables.listen("reply.failed", "response.cancelled")
    _finish(COMPLETED)(tables)
    assert told(tables) == []
    tables.listen("reply.completed", "response.completed")
    _finish(COMPLETED)(tables)
    assert sorted(told(tables)) == ["reply.completed", "response.completed"]


def test_what_is_not_to_be_stored_is_not_told_of(tables: Tables) -> None:
    tables.listen()
    tables.ask(tables.conversation(kind="ephemeral"))
    (claim,) = tables.claim()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    (deleted,) = tables.asked()
    tables(replies.note_request, deleted, {"is_deleted": True})
    tables(stops.cancel, DEFAULT_TENANT, deleted, now=NOW)
    assert told(tables) == []


def test_where_an_end_is_undone_so_is_the_delivery(tables: Tables) -> None:
    tables.listen()
    claim = tables.running()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    with pytest.raises(moves.Lost):
        tables(moves.finish, claim, COMPLETED, now=NOW)
    assert told(tables) == ["reply.completed"]


def test_with_a_conversation_all_that_tells_of_it_is_erased(tables: Tables) -> None:
    tables.listen()
    _finish(COMPLETED)(tables)
    claim = tables.running()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    erased = tables(erasures.erase_one, DEFAULT_TENANT, claim.conversation_id)
    assert erased.counts["webhook_deliveries"] == 1
    assert only(tables)["conversation_id"] != claim.conversation_id


def test_with_an_endpoint_its_deliveries_go(tables: Tables) -> None:
    endpoint_id = tables.listen()
    _finish(COMPLETED)(tables)
    assert not tables(endpoints.remove, "other", endpoint_id)
    assert tables(endpoints.remove, DEFAULT_TENANT, endpoint_id)
    assert told(tables) == []


def test_what_is_old_is_forgotten_unless_it_is_still_to_be_sent(tables: Tables) -> None:
    on, off = tables.listen(), tables.listen(enabled=False)
    ids: dict[str, str] = {}
    for name, status, endpoint_id, at in (
        ("delivered", DeliveryStatus.DELIVERED, on, NOW),
        ("failed", DeliveryStatus.FAILED, on, NOW),
        ("pending", DeliveryStatus.PENDING, on, NOW),
        ("switched off", DeliveryStatus.PENDING, off, NOW),
        ("new", DeliveryStatus.DELIVERED, on, LATE),
    ):
        ids[name] = first_delivery_id(at + len(ids))
        tables(
            lambda connection, row: connection.execute(webhook_deliveries.insert(), row),
            {
                "id": ids[name],
                "tenant_id": DEFAULT_TENANT,
                "endpoint_id": endpoint_id,
                "event": "webhook.test",
                "payload": "{}",
                "status": status,
                "available_at": at,
                "created_at": at,
            },
        )
    found = tables(deliveries.old, before=NOW + MINUTE, limit=9)
    assert found == [ids["delivered"], ids["failed"], ids["switched off"]]
    tables(deliveries.send_again, ids["failed"], now=LATE)
    tables(deliveries.forget, found)
    assert {row["id"] for row in tables.rows(webhook_deliveries)} == {
        ids[name] for name in ("failed", "pending", "new")
    }
