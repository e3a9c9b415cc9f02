"""Webhooks: endpoints, their secrets, and what was sent to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from api.dependencies import Resources
from api.rendering import Row
from api.schemas.webhooks import ChangeWebhookBody, CreateWebhookBody
from api.services.keyed_write import Making, write_once
from shared.clock import now_ms
from shared.errors import Conflict, InvalidValue, NotFound
from shared.ids import new_webhook_id
from shared.store import webhook_deliveries, webhook_endpoints
from shared.store.idempotency import KeyedRequest
from shared.webhooks.delivery_status import DeliveryStatus, DisabledBecause
from shared.webhooks.signature import new_secret
from shared.webhooks.targets import TargetRefused, Targets

# Each end of a reply is written once more for each endpoint.
MAX_ENDPOINTS = 20


async def create(resources: Resources, tenant_id: str, body: CreateWebhookBody, *, keyed: KeyedRequest | None) -> Row:
    """A new endpoint, with its secret.

    Raises:
        InvalidValue: nothing may be sent to the URL.
        Conflict: the tenant has as many endpoints as it may have.
        IdempotencyMismatch: the key was used for another request.
    """
    await _check_url(resources, body.url)
    now, endpoint_id = now_ms(), new_webhook_id()
    values = {
        "id": endpoint_id,
        "tenant_id": tenant_id,
        "url": body.url,
        "description": body.description,
        "events": list(body.events),
        "secret": new_secret(),
        **_switched(is_on=body.enabled),
        "created_at": now,
        "updated_at": now,
    }

    def make(connection: Connection) -> Row:
        if webhook_endpoints.count(connection, tenant_id) >= MAX_ENDPOINTS:
            raise Conflict(f"There are {MAX_ENDPOINTS} webhooks, which is as many as may be. Delete one first.")
        webhook_endpoints.add(connection, values)
        return existing(connection, tenant_id, endpoint_id)

    making = Making(
        "webhook",
        make=make,
        id_of=lambda row: str(row["id"]),
        find=lambda connection, found: existing(connection, tenant_id, found),
    )
    return (await write_once(resources.database, keyed, making)).result


async def page(resources: Resources, tenant_id: str, *, limit: int, after: str | None) -> Sequence[Row]:
    """Up to `limit` endpoints, newest first."""
    return await resources.database.read(webhook_endpoints.page, tenant_id, limit=limit, after=after)


async def get(resources: Resources, tenant_id: str, endpoint_id: str) -> Row:
    """An endpoint.

    Raises:
        NotFound: the tenant has no such one.
    """
    return await resources.database.read(existing, tenant_id, endpoint_id)


async def change(resources: Resources, tenant_id: str, endpoint_id: str, body: ChangeWebhookBody) -> Row:
    """Sets the fields that the body has. Switched on, an endpoint begins with a clean record.

    Raises:
        NotFound: the tenant has no such one.
        InvalidValue: nothing may be sent to the URL, or it is null.
    """
    given = {name: getattr(body, name) for name in body.model_fields_set}
    for name in ("url", "events", "enabled"):
        if name in given and given[name] is None:
            raise InvalidValue("This cannot be null; leave it out to keep it.", pointer=f"#/{name}")
    if "url" in given:
        await _check_url(resources, given["url"])
    values = {**given, **(_switched(is_on=given["enabled"]) if "enabled" in given else {})}

    def write(connection: Connection) -> Row:
        if values:
            webhook_endpoints.change(connection, tenant_id, endpoint_id, values=values, now=now_ms())
        return existing(connection, tenant_id, endpoint_id)

    return await resources.database.write(write)


def _switched(*, is_on: bool) -> Mapping[str, Any]:
    return {
        "enabled": is_on,
        "disabled_because": None if is_on else DisabledBecause.REQUESTED,
        "failing_since": None,
    }


async def delete(resources: Resources, tenant_id: str, endpoint_id: str) -> None:
    """Takes the endpoint out, with what was and what was to be sent to it.

    Raises:
        NotFound: the tenant has no such one.
    """
    if not await resources.database.write(webhook_endpoints.remove, tenant_id, endpoint_id):
        raise _missing_endpoint()


async def rotate_secret(resources: Resources, tenant_id: str, endpoint_id: str, *, overlap_seconds: float) -> Row:
    """The endpoint with a new secret. Deliveries are signed with the old one too for so long.

    Raises:
        NotFound: the tenant has no such one.
    """

    def write(connection: Connection) -> Row:
        now = now_ms()
        row = existing(connection, tenant_id, endpoint_id)
        values = {
            "secret": new_secret(),
            "previous_secret": row["secret"],
            "previous_until": now + int(1000 * overlap_seconds),
        }
        webhook_endpoints.change(connection, tenant_id, endpoint_id, values=values, now=now)
        return existing(connection, tenant_id, endpoint_id)

    return await resources.database.write(write)


async def test(resources: Resources, tenant_id: str, endpoint_id: str) -> Row:
    """A delivery that only shows whether the receiver is there.

    Raises:
        NotFound: the tenant has no such endpoint.
        Conflict: it is switched off.
    """

    def write(connection: Connection) -> Row:
        row = webhook_endpoints.hold(connection, tenant_id, endpoint_id)
        if row is None:
            raise _missing_endpoint()
        _require_enabled(row)
        delivery_id = webhook_deliveries.add_test(connection, tenant_id, endpoint_id, now=now_ms())
        return existing_delivery(connection, tenant_id, delivery_id)

    return await resources.database.write(write)


async def page_of_deliveries(
    resources: Resources,
    tenant_id: str,
    endpoint_id: str,
    *,
    limit: int,
    after: str | None,
    statuses: Collection[DeliveryStatus],
) -> Sequence[Row]:
    """Up to `limit` deliveries to the endpoint, newest first.

    Raises:
        NotFound: the tenant has no such endpoint.
    """

    def read(connection: Connection) -> Sequence[Row]:
        existing(connection, tenant_id, endpoint_id)
        return webhook_deliveries.page(connection, endpoint_id, limit=limit, after=after, statuses=statuses)

    return await resources.database.read(read)


async def get_delivery(resources: Resources, tenant_id: str, delivery_id: str) -> Row:
    """A delivery, with what it says.

    Raises:
        NotFound: the tenant has no such one.
    """
    return await resources.database.read(existing_delivery, tenant_id, delivery_id)


async def redeliver(resources: Resources, tenant_id: str, delivery_id: str) -> Row:
    """Sends the delivery again, at once and with all its tries. One that is being sent stays as it is.

    Raises:
        NotFound: the tenant has no such one.
        Conflict: its endpoint is switched off.
    """

    def write(connection: Connection) -> Row:
        row = existing_delivery(connection, tenant_id, delivery_id)
        _require_enabled(existing(connection, tenant_id, row["endpoint_id"]))
        webhook_deliveries.send_again(connection, delivery_id, now=now_ms())
        return existing_delivery(connection, tenant_id, delivery_id)

    return await resources.database.write(write)


def existing(connection: Connection, tenant_id: str, endpoint_id: str) -> Row:
    """The endpoint.

    Raises:
        NotFound: the tenant has no such one.
    """
    row = webhook_endpoints.get(connection, tenant_id, endpoint_id)
    if row is None:
        raise _missing_endpoint()
    return row


def existing_delivery(connection: Connection, tenant_id: str, delivery_id: str) -> Row:
    """The delivery.

    Raises:
        NotFound: the tenant has no such one.
    """
    row = webhook_deliveries.get(connection, tenant_id, delivery_id)
    if row is None:
        raise NotFound("There is no such delivery.")
    return row


def _missing_endpoint() -> NotFound:
    return NotFound("There is no such webhook.")


def _require_enabled(row: Row) -> None:
    if not row["enabled"]:
        raise Conflict("This webhook is switched off. Switch it on first: PATCH it with `enabled: true`.")


async def _check_url(resources: Resources, url: str) -> None:
    try:
        await Targets(resources.settings.webhook_networks).check(url)
    except TargetRefused as refused:
        raise InvalidValue(str(refused), pointer="#/url") from None
