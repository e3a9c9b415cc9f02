"""The receipts of erasures."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, String, Table

from shared.database.models.conventions import metadata, partial_index

erasures = Table(
    "erasures",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    # Whose, and the last conversation that is erased with all before it; both forgotten in the end.
    Column("end_user", String(255)),
    Column("up_to", String(64)),
    # How many of what, so far.
    Column("erased", JSON, nullable=False),
    # By when what may be left of event logs is gone.
    Column("logs_expire_at", BigInteger),
    Column("started_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
)
partial_index("ix_erasures_unfinished", erasures.c.tenant_id, erasures.c.end_user, where="finished_at is null")
