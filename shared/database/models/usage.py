"""What was used, and how much may be."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from shared.database.models.conventions import metadata

# What was used, summed up. It outlives what it was used for, and holds nothing of what was said.
usage_days = Table(
    "usage_days",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("model", String(200), primary_key=True),
    # Empty where there was none, since a primary key has no nulls.
    Column("key_id", String(64), primary_key=True),
    Column("end_user", String(255), primary_key=True),
    # How many replies ended so; a reply that is tried again on request ends more than once.
    Column("completed", Integer, nullable=False),
    Column("incomplete", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    # The part of both that is estimated.
    Column("estimated_tokens", BigInteger, nullable=False),
)
Index("ix_usage_days_of_key", usage_days.c.tenant_id, usage_days.c.key_id, usage_days.c.day)
Index("ix_usage_days_of_end_user", usage_days.c.tenant_id, usage_days.c.end_user, usage_days.c.day)

# How many tokens may be used; null is no limit.
budgets = Table(
    "budgets",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    # Whose it is, by kind and id; a kind of which there is one for a tenant has no id.
    Column("spender", String(16), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("tokens_per_day", BigInteger),
    Column("tokens_per_month", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
)
