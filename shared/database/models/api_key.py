"""The keys that requests come with."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, String, Table

from shared.database.models.conventions import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("name", String(200), nullable=False),
    # What a key is looked up by; of the rest of it there is only a digest.
    Column("prefix", String(32), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    # There is a new key in its place.
    Column("rotated_at", BigInteger),
)
