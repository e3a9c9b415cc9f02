"""What was asked for already, under which key."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table

from shared.database.models.conventions import metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("method", String(8), nullable=False),
    Column("path", String(255), nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", String(128), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Whose erasure takes the key along.
    Column("conversation_id", String(64)),
)
Index("ix_idempotency_keys_created_at", idempotency_keys.c.created_at)
Index("ix_idempotency_keys_conversation_id", idempotency_keys.c.conversation_id)
