"""Endpoints of webhooks: who is told of the ends of a tenant's replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)

from shared.database.models import webhook_endpoints
from shared.database.prepared import Prepared
from shared.webhooks.delivery_status import DisabledBecause

_OF_TENANT = select(webhook_endpoints).where(webhook_endpoints.c.tenant_id == bindparam("of_tenant"))
_ONE = _OF_TENANT.where(webhook_endpoints.c.id == bindparam("endpoint_id"))
_ANY = Prepared(select(exists().where(webhook_endpoints.c.enabled)))


def is_heard_of() -> ColumnElement[bool]:
    """Whether anybody is to be told of the end of a reply: for the RETURNING of the statement that ends it."""
    # Spelled out: in RETURNING, SQLite's columns are written without their tables, and both tables have this one.
    of_reply: ColumnElement[str] = literal_column("replies.tenant_id")
    return exists().where(webhook_endpoints.c.tenant_id == of_reply, webhook_endpoints.c.enabled).label("is_heard_of")


def any_enabled(connection: Connection) -> bool:
    """Whether there is any endpoint that gets something."""
    return bool(_ANY.scalar(connection, {}))


def add(connection: Connection, values: Mapping[str, Any]) -> None:
    """Inserts an endpoint; `values` has every column that may not be null."""
    connection.execute(insert(webhook_endpoints), dict(values))


def get(connection: Connection, tenant_id: str, endpoint_id: str) -> RowMapping | None:
    """The endpoint, or None if the tenant has no such one."""
    return connection.execute(_ONE, {"of_tenant": tenant_id, "endpoint_id": endpoint_id}).mappings().one_or_none()


def hold(connection: Connection, tenant_id: str, endpoint_id: str) -> RowMapping | None:
    """The same, held against being deleted until the commit: for whoever stores something that belongs to it."""
    held = _ONE.with_for_update(read=True, key_share=True)
    return connection.execute(held, {"of_tenant": tenant_id, "endpoint_id": endpoint_id}).mappings().one_or_none()


def page(connection: Connection, tenant_id: str, *, limit: int, after: str | None) -> Sequence[RowMapping]:
    """Up to `limit` endpoints of the tenant, the newest first."""
    query = _OF_TENANT.order_by(webhook_endpoints.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(webhook_endpoints.c.id < after)
    return connection.execute(query, {"of_tenant": tenant_id}).mappings().all()


def count(connection: Connection, tenant_id: str) -> int:
    """How many the tenant has."""
    own = select(func.count()).select_from(webhook_endpoints).where(webhook_endpoints.c.tenant_id == tenant_id)
    return int(connection.execute(own).scalar_one())


def change(connection: Connection, tenant_id: str, endpoint_id: str, *, values: Mapping[str, Any], now: int) -> bool:
    """Sets the given columns. False if the tenant has no such endpoint."""
    changed = connection.execute(
        update(webhook_endpoints)
        .where(webhook_endpoints.c.tenant_id == tenant_id, webhook_endpoints.c.id == endpoint_id)
        .values(**values, updated_at=now)
    )
    return changed.rowcount > 0


def remove(connection: Connection, tenant_id: str, endpoint_id: str) -> bool:
    """Takes the endpoint out with its deliveries. False if the tenant has no such one."""
    own = delete(webhook_endpoints).where(
        webhook_endpoints.c.tenant_id == tenant_id, webhook_endpoints.c.id == endpoint_id
    )
    return connection.execute(own).rowcount > 0


_CAME_THROUGH = (
    update(webhook_endpoints)
    .where(webhook_endpoints.c.id == bindparam("of_id"), webhook_endpoints.c.failing_since.is_not(None))
    .values(failing_since=None)
)
_FAILED = (
    update(webhook_endpoints)
    .where(webhook_endpoints.c.id == bindparam("of_id"), webhook_endpoints.c.failing_since.is_(None))
    .values(failing_since=bindparam("now"))
)


def note_success(connection: Connection, endpoint_id: str) -> None:
    """Something came through."""
    connection.execute(_CAME_THROUGH, {"of_id": endpoint_id})


def note_failure(connection: Connection, endpoint_id: str, *, now: int) -> None:
    """A try failed."""
    connection.execute(_FAILED, {"of_id": endpoint_id, "now": now})


def disable(
    connection: Connection, endpoint_id: str, because: DisabledBecause, *, now: int, failing_before: int | None = None
) -> bool:
    """Tells the endpoint no more, if nothing came through since `failing_before`. True if that switched it off."""
    still_on = (webhook_endpoints.c.id == endpoint_id) & webhook_endpoints.c.enabled
    if failing_before is not None:
        still_on &= webhook_endpoints.c.failing_since <= failing_before
    disabled = update(webhook_endpoints).where(still_on)
    return connection.execute(disabled.values(enabled=False, disabled_because=because, updated_at=now)).rowcount > 0
