"""API keys: who may do what, for which tenant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, case, exists, insert, or_, select, update

from shared.database.models import api_keys

_BY_PREFIX = select(api_keys).where(api_keys.c.prefix == bindparam("of_prefix"))
_USED = (
    update(api_keys)
    .where(
        api_keys.c.id == bindparam("of_id"),
        or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < bindparam("before")),
    )
    .values(last_used_at=bindparam("now"))
)
_is_good = api_keys.c.revoked_at.is_(None) & or_(
    api_keys.c.expires_at.is_(None), api_keys.c.expires_at > bindparam("now")
)
_GOOD_OF = select(api_keys.c.id).where(api_keys.c.id.in_(bindparam("of_ids", expanding=True)), _is_good)
_ANY_GOOD = select(exists().where(_is_good))


def add(connection: Connection, values: Mapping[str, Any]) -> None:
    """Inserts a key; `values` has every column that has no default."""
    connection.execute(insert(api_keys), dict(values))


def by_prefix(connection: Connection, prefix: str) -> RowMapping | None:
    """The key that begins so, whatever its state."""
    return connection.execute(_BY_PREFIX, {"of_prefix": prefix}).mappings().one_or_none()


def get(connection: Connection, tenant_id: str, key_id: str) -> RowMapping | None:
    """The key, or None if the tenant has no such one."""
    query = select(api_keys).where(api_keys.c.tenant_id == tenant_id, api_keys.c.id == key_id)
    return connection.execute(query).mappings().one_or_none()


def of_tenant(connection: Connection, tenant_id: str | None, *, limit: int, after: str | None) -> Sequence[RowMapping]:
    """Up to `limit` keys of the tenant (None: of all), the newest first, also those that are no good any more."""
    query = select(api_keys).order_by(api_keys.c.id.desc()).limit(limit)
    if tenant_id is not None:
        query = query.where(api_keys.c.tenant_id == tenant_id)
    if after is not None:
        query = query.where(api_keys.c.id < after)
    return connection.execute(query).mappings().all()


def revoke(connection: Connection, tenant_id: str | None, key_id: str, *, now: int) -> bool:
    """From now on the key is no good. False if the tenant (None: any) has no such key."""
    own = api_keys.c.id == key_id
    if tenant_id is not None:
        own &= api_keys.c.tenant_id == tenant_id
    found = connection.execute(select(exists().where(own))).scalar_one()
    connection.execute(update(api_keys).where(own, api_keys.c.revoked_at.is_(None)).values(revoked_at=now))
    return bool(found)


def retire(connection: Connection, key_id: str, *, at: int, now: int) -> bool:
    """Another key takes the place of this one, which is good until `at` or its own end. False if one has already."""
    earlier = case((api_keys.c.expires_at < at, api_keys.c.expires_at), else_=at)
    retired = connection.execute(
        update(api_keys)
        .where(api_keys.c.id == key_id, api_keys.c.rotated_at.is_(None))
        .values(expires_at=earlier, rotated_at=now)
    )
    return retired.rowcount > 0


def used(connection: Connection, key_id: str, *, now: int, at_most_every_ms: int) -> None:
    """Notes down that the key is in use."""
    connection.execute(_USED, {"of_id": key_id, "now": now, "before": now - at_most_every_ms})


def has_any(connection: Connection, *, now: int) -> bool:
    """Whether any key is good."""
    return bool(connection.execute(_ANY_GOOD, {"now": now}).scalar_one())


def good_of(connection: Connection, ids: Collection[str], *, now: int) -> set[str]:
    """Those of these keys that are good."""
    return set(connection.execute(_GOOD_OF, {"of_ids": list(ids), "now": now}).scalars())
