"""What processes know of each other, and share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table

from shared.database.models.conventions import metadata

workers = Table(
    "workers",
    metadata,
    # Random for each start of a process; api processes have a row too, since they sweep.
    Column("id", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    # A counter, so that no clock is compared.
    Column("beat", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    # How many replies it makes at once; null for a gateway.
    Column("slots", Integer),
)

shared_secrets = Table(
    "shared_secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(200), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
