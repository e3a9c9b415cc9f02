"""Where webhooks go, and what is told there."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from shared.database.models.conditions import FAILED, PENDING, RUNNING
from shared.database.models.conventions import metadata, partial_index

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("description", String(500)),
    # The names of the events it gets.
    Column("events", JSON, nullable=False),
    # What its deliveries are signed with; for a while after a rotation with both.
    Column("secret", String(100), nullable=False),
    Column("previous_secret", String(100)),
    Column("previous_until", BigInteger),
    Column("enabled", Boolean(create_constraint=False), nullable=False),
    # A DisabledBecause; null while it is enabled.
    Column("disabled_because", String(16)),
    # When a try failed first since one came through.
    Column("failing_since", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
Index("ix_webhook_endpoints_of_tenant", webhook_endpoints.c.tenant_id, webhook_endpoints.c.id)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # The same for every try at it.
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("endpoint_id", ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
    # What was said in a conversation is gone when it is; null for a test.
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE")),
    Column("reply_id", String(64)),
    Column("event", String(32), nullable=False),
    # The body, just as it is sent.
    Column("payload", Text, nullable=False),
    Column("status", String(16), nullable=False, server_default="pending"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("token", Integer, nullable=False, server_default="1"),
    Column("worker_id", String(64)),
    Column("available_at", BigInteger, nullable=False),
    # How the last try went.
    Column("tried_at", BigInteger),
    Column("response_status", Integer),
    Column("response_text", Text),
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    CheckConstraint("status in ('pending', 'in_progress', 'delivered', 'failed')", name="status"),
)
Index("ix_webhook_deliveries_of_endpoint", webhook_deliveries.c.endpoint_id, webhook_deliveries.c.id)
Index("ix_webhook_deliveries_of_conversation", webhook_deliveries.c.conversation_id)
partial_index(
    "ix_webhook_deliveries_due",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.available_at,
    webhook_deliveries.c.id,
    where=PENDING,
)
partial_index("ix_webhook_deliveries_failed", webhook_deliveries.c.endpoint_id, webhook_deliveries.c.id, where=FAILED)
partial_index("ix_webhook_deliveries_held", webhook_deliveries.c.worker_id, where=RUNNING)
