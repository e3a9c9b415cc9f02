"""Keys: making them, looking at them, taking them back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from api.dependencies import Resources
from api.rendering import Row
from shared.api_keys import Scope, new_key
from shared.clock import now_ms
from shared.errors import Conflict, NotFound
from shared.ids import new_key_id
from shared.store import budgets, keys
from shared.store.budgets import Limits, Spender


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key. `secret` is all of it, and nobody can see it again."""

    row: Row
    secret: str


async def create(
    resources: Resources,
    tenant_id: str,
    *,
    name: str,
    scopes: Collection[Scope],
    expires_in_seconds: float | None,
    limits: Limits | None = None,
) -> MadeKey:
    """A key of the tenant, with a budget if it has `limits`."""
    now = now_ms()
    expires_at = None if expires_in_seconds is None else now + int(1000 * expires_in_seconds)
    made: MadeKey = await resources.database.write(
        make,
        tenant_id,
        name=name,
        scopes=scopes,
        expires_at=expires_at,
        pepper=resources.settings.key_pepper,
        limits=limits,
    )
    resources.budgets.forget()
    return made


def make(
    connection: Connection,
    tenant_id: str,
    *,
    name: str,
    scopes: Collection[Scope],
    expires_at: int | None,
    pepper: str,
    limits: Limits | None = None,
) -> MadeKey:
    """The same, in a transaction."""
    key = new_key(pepper)
    row: dict[str, Any] = {
        "id": new_key_id(),
        "tenant_id": tenant_id,
        "name": name,
        "prefix": key.prefix,
        "digest": key.digest,
        "scopes": sorted(scopes),
        "created_at": now_ms(),
        "expires_at": expires_at,
    }
    keys.add(connection, row)
    if limits is not None:
        budgets.put(connection, tenant_id, Spender.KEY, row["id"], limits=limits, now=row["created_at"])
    return MadeKey({"revoked_at": None, "last_used_at": None, **row}, key.text)


async def page(resources: Resources, tenant_id: str, *, limit: int, after: str | None) -> Sequence[Row]:
    """Up to `limit` keys, newest first."""
    return await resources.database.read(keys.of_tenant, tenant_id, limit=limit, after=after)


async def get(resources: Resources, tenant_id: str, key_id: str) -> Row:
    """A key, without its secret.

    Raises:
        NotFound: the tenant has no such key.
    """
    return await resources.database.read(_existing, tenant_id, key_id)


def _existing(connection: Connection, tenant_id: str, key_id: str) -> Row:
    row = keys.get(connection, tenant_id, key_id)
    if row is None:
        raise NotFound("There is no such key.")
    return row


async def revoke(resources: Resources, tenant_id: str, key_id: str) -> None:
    """The key is no good any more, at once here and within seconds on other gateways.

    Raises:
        NotFound: the tenant has no such key.
    """
    if not await resources.database.write(keys.revoke, tenant_id, key_id, now=now_ms()):
        raise NotFound("There is no such key.")
    resources.authenticator.forget()
    resources.open_requests.look_again()


async def rotate(resources: Resources, tenant_id: str, key_id: str, *, overlap_seconds: float) -> MadeKey:
    """A new key like this one, which is good for so long beside it. It has the same budget, and used none of it yet.

    Raises:
        NotFound: the tenant has no such key.
        Conflict: it is revoked or has expired.
    """
    settings = resources.settings

    def write(connection: Connection) -> MadeKey:
        now = now_ms()
        row = _existing(connection, tenant_id, key_id)
        if row["revoked_at"] is not None or (row["expires_at"] or now + 1) <= now:
            raise Conflict("This key is no good any more: make a new one.")
        if not keys.retire(connection, key_id, at=now + int(1000 * overlap_seconds), now=now):
            raise Conflict("There is a new key in the place of this one already. Revoke that one, and make another.")
        scopes = [Scope(name) for name in row["scopes"]]
        return make(
            connection,
            tenant_id,
            name=row["name"],
            scopes=scopes,
            expires_at=row["expires_at"],
            pepper=settings.key_pepper,
            limits=budgets.limits_of(connection, tenant_id, Spender.KEY, key_id),
        )

    made = await resources.database.write(write)
    resources.authenticator.forget()
    resources.open_requests.look_again()
    return made
