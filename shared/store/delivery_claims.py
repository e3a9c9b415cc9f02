"""How a worker comes to send a delivery, and what becomes of it: each move is one conditional UPDATE.

As with replies, `token` is the fencing token: every claim and take-over adds one, and what follows a claim carries it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Update, and_, bindparam, exists, func, select, update

from shared.database.models import is_pending, is_running, webhook_deliveries, webhook_endpoints, workers
from shared.database.prepared import Prepared
from shared.store import webhook_endpoints as endpoint_rows
from shared.store import workers as worker_rows
from shared.store.claims import ProcessGone
from shared.store.moves import Lost
from shared.webhooks.delivery_status import DeliveryStatus, DisabledBecause


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that this process holds. It is signed with each of the secrets; `tries` counts this one too."""

    id: str
    token: int
    endpoint_id: str
    event: str
    payload: str
    tries: int
    url: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """How a try went. `error` is a sentence, None if all went well."""

    error: str | None = None
    response_status: int | None = None
    response_text: str | None = None


_table = webhook_deliveries.c
# Each endpoint that has pending deliveries, from one to the next through the index, however many each has.
_first = select(func.min(_table.endpoint_id).label("id")).where(is_pending(webhook_deliveries)).cte(recursive=True)
_next = (
    select(func.min(_table.endpoint_id))
    .where(is_pending(webhook_deliveries), _table.endpoint_id > _first.c.id)
    .correlate(_first)
    .scalar_subquery()
)
_waiting = _first.union_all(select(_next).where(_first.c.id.is_not(None)))
_DUE_ENDPOINTS = (
    select(_waiting.c.id)
    .where(
        _waiting.c.id.not_in(bindparam("busy", expanding=True)),
        exists().where(
            is_pending(webhook_deliveries),
            _table.endpoint_id == _waiting.c.id,
            _table.available_at <= bindparam("now"),
        ),
        exists().where(webhook_endpoints.c.id == _waiting.c.id, webhook_endpoints.c.enabled),
    )
    .order_by(func.random())
    .limit(bindparam("limit"))
)
_TARGETS = select(webhook_endpoints).where(
    webhook_endpoints.c.id.in_(bindparam("endpoint_ids", expanding=True)), webhook_endpoints.c.enabled
)
_DUE = (
    select(_table.id)
    .where(
        is_pending(webhook_deliveries),
        _table.endpoint_id == bindparam("of_endpoint"),
        _table.available_at <= bindparam("now"),
    )
    .order_by(_table.available_at, _table.id)
    .limit(bindparam("room"))
    # On PostgreSQL a claim waits for no other's lock.
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(webhook_deliveries)
    .where(_table.id.in_(bindparam("delivery_ids", expanding=True)), is_pending(webhook_deliveries))
    .values(
        status=DeliveryStatus.IN_PROGRESS,
        token=_table.token + 1,
        # Counted before it is made: the dead cannot report one.
        tries=_table.tries + 1,
        worker_id=bindparam("by_worker"),
        tried_at=bindparam("now"),
    )
    .returning(webhook_deliveries)
)
_held = and_(
    _table.id == bindparam("delivery_id"), _table.token == bindparam("held_token"), is_running(webhook_deliveries)
)
_TRIED: dict[str, Any] = {
    "worker_id": None,
    "response_status": bindparam("new_response_status"),
    "response_text": bindparam("new_response_text"),
    "error": bindparam("new_error"),
}
_END = (
    update(webhook_deliveries).where(_held).values(**_TRIED, status=bindparam("new_status"), ended_at=bindparam("now"))
)
_TRY_AGAIN = (
    update(webhook_deliveries)
    .where(_held)
    .values(**_TRIED, status=DeliveryStatus.PENDING, available_at=bindparam("next_at"))
)
_BACK: dict[str, Any] = {
    "status": DeliveryStatus.PENDING,
    "token": _table.token + 1,
    "worker_id": None,
    "available_at": bindparam("now"),
}
_HAND_BACK = update(webhook_deliveries).where(_held).values(**_BACK, tries=_table.tries - 1)
_HAND_BACK_ALL = (
    update(webhook_deliveries)
    .where(_table.worker_id == bindparam("by_worker"), is_running(webhook_deliveries))
    .values(**_BACK, tries=_table.tries - 1)
)
_is_stranded = and_(is_running(webhook_deliveries), ~exists().where(workers.c.id == _table.worker_id))
_STRANDED = Prepared(select(_table.id).where(_is_stranded).limit(1))
_TAKE_OVER = update(webhook_deliveries).where(_is_stranded).values(**_BACK)
_HELD_BY = select(_table.id, _table.token).where(
    _table.worker_id == bindparam("by_worker"), is_running(webhook_deliveries)
)


def due_endpoints(connection: Connection, *, busy: Collection[str], limit: int, now: int) -> list[str]:
    """Up to `limit` endpoints, by chance, that have something to be sent and are not among the busy ones."""
    return list(connection.execute(_DUE_ENDPOINTS, {"busy": list(busy), "limit": limit, "now": now}).scalars())


def claim(connection: Connection, worker_id: str, *, rooms: Mapping[str, int], now: int) -> list[Delivery]:
    """Takes of each endpoint up to as many due deliveries as there is room for, those that are due longest.

    Raises:
        ProcessGone: the worker has no row any more.
    """
    if not worker_rows.lock(connection, worker_id):
        raise ProcessGone
    targets = {row.id: row for row in connection.execute(_TARGETS, {"endpoint_ids": list(rooms)})}
    found: list[str] = []
    for endpoint_id in sorted(targets):
        due = {"of_endpoint": endpoint_id, "room": rooms[endpoint_id], "now": now}
        found += connection.execute(_DUE, due).scalars()
    if not found:
        return []
    taken = connection.execute(_CLAIM, {"delivery_ids": found, "by_worker": worker_id, "now": now}).all()
    return [_delivery(row, targets[row.endpoint_id], now=now) for row in taken]


def _delivery(row: Row[Any], target: Row[Any], *, now: int) -> Delivery:
    secrets = [target.secret]
    if target.previous_secret is not None and target.previous_until > now:
        secrets.append(target.previous_secret)
    return Delivery(
        row.id, row.token, row.endpoint_id, row.event, row.payload, row.tries, url=target.url, secrets=tuple(secrets)
    )


def succeed(connection: Connection, delivery: Delivery, trial: Trial, *, now: int) -> None:
    """It came through.

    Raises:
        Lost: it is somebody else's now, or erased.
    """
    _move(connection, _END, delivery, trial, new_status=DeliveryStatus.DELIVERED, now=now)
    endpoint_rows.note_success(connection, delivery.endpoint_id)


def try_again(connection: Connection, delivery: Delivery, trial: Trial, *, next_at: int, now: int) -> None:
    """It did not come through, and is to be tried at `next_at`.

    Raises:
        Lost: it is somebody else's now, or erased.
    """
    _move(connection, _TRY_AGAIN, delivery, trial, next_at=next_at)
    endpoint_rows.note_failure(connection, delivery.endpoint_id, now=now)


def give_up(
    connection: Connection, delivery: Delivery, trial: Trial, *, is_gone: bool, failing_before: int, now: int
) -> DisabledBecause | None:
    """It did not come through, and is not tried any more.

    The endpoint is told no more if its receiver said that it is gone, or if nothing came through since
    `failing_before`; returns why, if that switched it off.

    Raises:
        Lost: it is somebody else's now, or erased.
    """
    _move(connection, _END, delivery, trial, new_status=DeliveryStatus.FAILED, now=now)
    endpoint_rows.note_failure(connection, delivery.endpoint_id, now=now)
    because = DisabledBecause.GONE if is_gone else DisabledBecause.FAILING
    since = None if is_gone else failing_before
    disabled = endpoint_rows.disable(connection, delivery.endpoint_id, because, now=now, failing_before=since)
    return because if disabled else None


def hand_back(connection: Connection, delivery_id: str, token: int, *, now: int) -> None:
    """Leaves it to another worker at once, as if this one had never tried."""
    connection.execute(_HAND_BACK, {"delivery_id": delivery_id, "held_token": token, "now": now})


def hand_back_all(connection: Connection, process_id: str, *, now: int) -> None:
    """The same with all that the process holds."""
    connection.execute(_HAND_BACK_ALL, {"by_worker": process_id, "now": now})


def held_by(connection: Connection, process_id: str) -> set[tuple[str, int]]:
    """The ids and tokens of what the database says this process holds."""
    return {(row.id, row.token) for row in connection.execute(_HELD_BY, {"by_worker": process_id})}


def has_stranded(connection: Connection) -> bool:
    """Whether any delivery is held by a process that has no row, and so counts as dead."""
    return _STRANDED.scalar(connection, {}) is not None


def take_over(connection: Connection, *, now: int) -> int:
    """Makes due again what the dead held. Returns how many those were."""
    return connection.execute(_TAKE_OVER, {"now": now}).rowcount


def _move(connection: Connection, move: Update, delivery: Delivery, trial: Trial, **values: Any) -> None:
    given = {
        "delivery_id": delivery.id,
        "held_token": delivery.token,
        "new_response_status": trial.response_status,
        "new_response_text": trial.response_text,
        "new_error": trial.error,
        **values,
    }
    if connection.execute(move, given).rowcount == 0:
        raise Lost(delivery.id)
