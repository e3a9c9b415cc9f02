"""Endpoints and deliveries for a worker to work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT, webhook_deliveries, webhook_endpoints
from shared.ids import new_webhook_id
from shared.store import webhook_deliveries as delivery_rows
from shared.store import webhook_endpoints as endpoint_rows
from shared.webhooks.events import DEFAULT_EVENTS
from shared.webhooks.signature import new_secret
from tests.fixtures.waiting import until

HOME = "127.0.0.0/8,::1/128"
# Nobody is asked for an answer in most of these.
NO_MODEL = "http://127.0.0.1:1/v1"


class Hooks:
    """Endpoints and deliveries, put there and looked at by the store's own functions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listen(self, url: str, *events: str) -> dict[str, Any]:
        """An endpoint."""
        row = {
            "id": new_webhook_id(),
            "tenant_id": DEFAULT_TENANT,
            "url": url,
            "events": list(events or DEFAULT_EVENTS),
            "secret": new_secret(),
            "enabled": True,
            "created_at": now_ms(),
            "updated_at": now_ms(),
        }
        await self._database.write(endpoint_rows.add, row)
        return row

    async def add(self, endpoint: dict[str, Any], *, event: str = "reply.completed") -> str:
        """A delivery that is due."""

        def make(connection: Connection) -> str:
            delivery_id = delivery_rows.add_test(connection, DEFAULT_TENANT, endpoint["id"], now=now_ms())
            connection.execute(
                webhook_deliveries.update().where(webhook_deliveries.c.id == delivery_id).values(event=event)
            )
            return delivery_id

        return await self._database.write(make)

    async def delivery(self, delivery_id: str) -> RowMapping:
        """As it is stored."""
        found = await self._database.read(delivery_rows.get, DEFAULT_TENANT, delivery_id)
        assert found is not None
        return found

    async def endpoint(self, endpoint: dict[str, Any]) -> RowMapping:
        """As it is stored."""

        def read(connection: Connection) -> RowMapping:
            query = select(webhook_endpoints).where(webhook_endpoints.c.id == endpoint["id"])
            return connection.execute(query).mappings().one()

        return await self._database.read(read)

    async def until(self, delivery_id: str, is_so: Callable[[RowMapping], object]) -> RowMapping:
        """The delivery, once it is so."""

        async def look() -> RowMapping | None:
            row = await self.delivery(delivery_id)
            return row if is_so(row) else None

        found = await until(look)
        assert found is not None
        return found

    async def until_ended(self, delivery_id: str) -> RowMapping:
        """The delivery, once nobody tries it any more."""
        return await self.until(delivery_id, lambda row: row["ended_at"] is not None)
