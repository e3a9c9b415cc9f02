"""Conversations and what was said in them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from shared.database.models.conventions import metadata, partial_index

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False, server_default="chat"),
    Column("parent_reply_id", String(64)),
    Column("end_user", String(255)),
    Column("title", Text),
    Column("instructions", Text),
    Column("model", String(200)),
    Column("parameters", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("next_turn", Integer, nullable=False, server_default="1"),
    # Grows with every message, setting and status change, never with partial text.
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    CheckConstraint("kind in ('chat', 'ephemeral')", name="kind"),
)
Index("ix_conversations_recent", conversations.c.tenant_id, conversations.c.updated_at, conversations.c.id)
Index("ix_conversations_made", conversations.c.tenant_id, conversations.c.id)
Index(
    "ix_conversations_end_user",
    conversations.c.tenant_id,
    conversations.c.end_user,
    conversations.c.updated_at,
    conversations.c.id,
)
partial_index("ix_conversations_ephemeral", conversations.c.updated_at, where="kind = 'ephemeral'")

messages = Table(
    "messages",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    # Order is by turn and position, never by a clock: 0 is what was said, 1 to 8 are the candidates' answers.
    Column("turn", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    Column("content", Text, nullable=False),
    # What the content does not say: the `role` where it is one that models are told as `system`.
    Column("parts", JSON(none_as_null=True)),
    Column("reply_id", String(64), unique=True),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("conversation_id", "turn", "position"),
    CheckConstraint("role in ('user', 'assistant', 'system')", name="role"),
)
