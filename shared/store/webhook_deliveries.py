"""Deliveries of webhooks: made in the transaction that ends a reply, kept for a while, sent again on request.

How a worker comes to send one is in `delivery_claims`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    and_,
    bindparam,
    delete,
    insert,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from shared.database.models import conversations, webhook_deliveries, webhook_endpoints
from shared.ids import first_delivery_id, new_delivery_id
from shared.reply_status import ReplyStatus
from shared.store import replies
from shared.webhooks.delivery_status import DeliveryStatus
from shared.webhooks.events import TEST, events_of, reply_body, test_body

_INSERT = insert(webhook_deliveries)
# What is said in ephemeral conversations is kept nowhere else either.
_LISTENING = (
    select(webhook_endpoints.c.id, webhook_endpoints.c.events)
    .join(conversations, conversations.c.tenant_id == webhook_endpoints.c.tenant_id)
    .where(
        webhook_endpoints.c.tenant_id == bindparam("of_tenant"),
        webhook_endpoints.c.enabled,
        conversations.c.id == bindparam("of_conversation"),
        conversations.c.kind == literal_column("'chat'"),
    )
    .order_by(webhook_endpoints.c.id)
    # Held until the commit: a delivery to an endpoint that is being deleted could not be stored, nor the end with it.
    .with_for_update(read=True, key_share=True, of=webhook_endpoints)
)
_ENDED = webhook_deliveries.c.status.in_([DeliveryStatus.DELIVERED, DeliveryStatus.FAILED])
_LARGE = frozenset({"payload"})
_SHOWN = [column for column in webhook_deliveries.c if column.name not in _LARGE]


def add_for_end(connection: Connection, tenant_id: str, conversation_id: str, reply_id: str, *, now: int) -> None:
    """One delivery for each endpoint and event that is about how the reply ended, which it has just done."""
    listening = connection.execute(_LISTENING, {"of_tenant": tenant_id, "of_conversation": conversation_id}).all()
    reply = replies.get(connection, tenant_id, reply_id) if listening else None
    if reply is None or not replies.is_told(reply["request"]):
        return
    status = ReplyStatus(reply["status"])
    rows: list[dict[str, Any]] = []
    for endpoint in listening:
        for event in events_of(status, endpoint.events):
            delivery_id = new_delivery_id()
            rows.append(
                {
                    "id": delivery_id,
                    "tenant_id": tenant_id,
                    "endpoint_id": endpoint.id,
                    "conversation_id": conversation_id,
                    "reply_id": reply_id,
                    "event": event,
                    "payload": reply_body(event, delivery_id, reply),
                    "available_at": now,
                    "created_at": now,
                }
            )
    if rows:
        connection.execute(_INSERT, rows)


def add_test(connection: Connection, tenant_id: str, endpoint_id: str, *, now: int) -> str:
    """A delivery that only shows whether the receiver is there. Returns its id."""
    delivery_id = new_delivery_id()
    row = {
        "id": delivery_id,
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "event": TEST,
        "payload": test_body(delivery_id, endpoint_id, now=now),
        "available_at": now,
        "created_at": now,
    }
    connection.execute(_INSERT, row)
    return delivery_id


def get(connection: Connection, tenant_id: str, delivery_id: str) -> RowMapping | None:
    """The delivery with what it says, or None if the tenant has no such one."""
    table = webhook_deliveries.c
    query = select(webhook_deliveries).where(table.tenant_id == tenant_id, table.id == delivery_id)
    return connection.execute(query).mappings().one_or_none()


def page(
    connection: Connection, endpoint_id: str, *, limit: int, after: str | None, statuses: Collection[DeliveryStatus]
) -> Sequence[RowMapping]:
    """Up to `limit` deliveries to the endpoint, the newest first, without what they say."""
    table = webhook_deliveries.c
    listed = [table.endpoint_id == endpoint_id]
    if after is not None:
        listed.append(table.id < after)
    if statuses:
        # Of each status the newest, by the index that has it: those that failed are few among those that came through.
        newest = [
            select(table.id)
            .where(*listed, table.status == literal_column(f"'{status}'"))
            .order_by(table.id.desc())
            .limit(limit)
            .subquery()
            for status in sorted(statuses)
        ]
        listed = [table.id.in_(union_all(*(select(each.c.id) for each in newest)))]
    return connection.execute(select(*_SHOWN).where(*listed).order_by(table.id.desc()).limit(limit)).mappings().all()


def of_conversation(
    connection: Connection, conversation_id: str, *, limit: int, after: str | None
) -> Sequence[RowMapping]:
    """Up to `limit` deliveries about the conversation, with what they say, behind this one."""
    query = select(webhook_deliveries).where(webhook_deliveries.c.conversation_id == conversation_id)
    if after is not None:
        query = query.where(webhook_deliveries.c.id > after)
    return connection.execute(query.order_by(webhook_deliveries.c.id).limit(limit)).mappings().all()


def send_again(connection: Connection, delivery_id: str, *, now: int) -> None:
    """Makes the delivery due, with all its tries, unless it is being sent at this moment."""
    table = webhook_deliveries.c
    connection.execute(
        update(webhook_deliveries)
        .where(table.id == delivery_id, table.status != DeliveryStatus.IN_PROGRESS)
        .values(status=DeliveryStatus.PENDING, tries=0, token=table.token + 1, available_at=now, ended_at=None)
    )


def forget_reply(connection: Connection, conversation_id: str, reply_id: str) -> None:
    """Erases what tells of the reply."""
    table = webhook_deliveries.c
    connection.execute(
        delete(webhook_deliveries).where(table.conversation_id == conversation_id, table.reply_id == reply_id)
    )


def old(connection: Connection, *, before: int, limit: int) -> list[str]:
    """Deliveries made before that instant that are not to be tried any more, or go to an endpoint that is off."""
    table = webhook_deliveries.c
    is_off = and_(table.status == DeliveryStatus.PENDING, ~webhook_endpoints.c.enabled)
    query = (
        select(table.id)
        .join(webhook_endpoints, webhook_endpoints.c.id == table.endpoint_id)
        .where(table.id < first_delivery_id(before), or_(_ENDED, is_off))
        .order_by(table.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def forget(connection: Connection, delivery_ids: Collection[str]) -> None:
    """Takes out those of them that nobody made due since."""
    table = webhook_deliveries.c
    is_on = select(webhook_endpoints.c.id).where(webhook_endpoints.c.enabled)
    connection.execute(
        delete(webhook_deliveries).where(
            table.id.in_(delivery_ids),
            or_(_ENDED, and_(table.status == DeliveryStatus.PENDING, table.endpoint_id.not_in(is_on))),
        )
    )
