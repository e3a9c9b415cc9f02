"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), server_default="chat", nullable=False),
        sa.Column("parent_reply_id", sa.String(length=64), nullable=True),
        sa.Column("end_user", sa.String(length=255), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("instructions", sa.Text(), nullable=True),
        sa.Column("model", sa.String(length=200), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("next_turn", sa.Integer(), server_default="1", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind in ('chat', 'ephemeral')", name=op.f("ck_conversations_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
    )
    op.create_index(
        "ix_conversations_end_user", "conversations", ["tenant_id", "end_user", "updated_at", "id"], unique=False
    )
    op.create_index("ix_conversations_recent", "conversations", ["tenant_id", "updated_at", "id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=64), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("parts", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("reply_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role in ('user', 'assistant', 'system')", name=op.f("ck_messages_role")),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_messages_conversation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint(
            "conversation_id", "turn", "position", name=op.f("uq_messages_conversation_id_turn_position")
        ),
        sa.UniqueConstraint("reply_id", name=op.f("uq_messages_reply_id")),
    )
    op.create_table(
        "replies",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=64), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("candidate", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("on_crash", sa.String(length=16), server_default="restart", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("model_calls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("token", sa.Integer(), server_default="1", nullable=False),
        sa.Column("worker_id", sa.String(length=64), nullable=True),
        sa.Column("available_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=False),
        sa.Column("stop_requested", sa.String(length=16), nullable=True),
        sa.Column("selected", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("partial", sa.Text(), nullable=True),
        sa.Column("partial_cursor", sa.String(length=64), nullable=True),
        sa.Column("deltas", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_retryable", sa.Boolean(), nullable=True),
        sa.Column("incomplete_reason", sa.String(length=32), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("on_crash in ('restart', 'keep_partial', 'fail')", name=op.f("ck_replies_on_crash")),
        sa.CheckConstraint(
            "status in ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')",
            name=op.f("ck_replies_status"),
        ),
        sa.CheckConstraint("stop_requested in ('cancel', 'interrupt')", name=op.f("ck_replies_stop_requested")),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_replies_conversation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replies")),
        sa.UniqueConstraint(
            "conversation_id", "turn", "candidate", name=op.f("uq_replies_conversation_id_turn_candidate")
        ),
    )
    op.create_index(
        "ix_replies_due",
        "replies",
        ["available_at", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_replies_held",
        "replies",
        ["worker_id"],
        unique=False,
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_index(
        "ix_replies_live_deadline",
        "replies",
        ["deadline_at"],
        unique=False,
        sqlite_where=sa.text("status in ('queued', 'in_progress')"),
        postgresql_where=sa.text("status in ('queued', 'in_progress')"),
    )
    op.create_index(
        "ix_replies_live_turns",
        "replies",
        ["conversation_id", "turn", "candidate"],
        unique=False,
        sqlite_where=sa.text("status in ('queued', 'in_progress')"),
        postgresql_where=sa.text("status in ('queued', 'in_progress')"),
    )
    op.create_index("ix_replies_recent", "replies", ["tenant_id", "id"], unique=False)
    op.create_index(
        "uq_replies_selected",
        "replies",
        ["conversation_id", "turn"],
        unique=True,
        sqlite_where=sa.text("selected"),
        postgresql_where=sa.text("selected"),
    )
    op.create_table(
        "attempts",
        sa.Column("reply_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("worker_id", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["reply_id"], ["replies.id"], name=op.f("fk_attempts_reply_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("reply_id", "attempt", name=op.f("pk_attempts")),
    )


def downgrade() -> None:
    op.drop_table("attempts")
    op.drop_index(
        "uq_replies_selected",
        table_name="replies",
        sqlite_where=sa.text("selected"),
        postgresql_where=sa.text("selected"),
    )
    op.drop_index("ix_replies_recent", table_name="replies")
    op.drop_index(
        "ix_replies_live_turns",
        table_name="replies",
        sqlite_where=sa.text("status in ('queued', 'in_progress')"),
        postgresql_where=sa.text("status in ('queued', 'in_progress')"),
    )
    op.drop_index(
        "ix_replies_live_deadline",
        table_name="replies",
        sqlite_where=sa.text("status in ('queued', 'in_progress')"),
        postgresql_where=sa.text("status in ('queued', 'in_progress')"),
    )
    op.drop_index(
        "ix_replies_held",
        table_name="replies",
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.drop_index(
        "ix_replies_due",
        table_name="replies",
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.drop_table("replies")
    op.drop_table("messages")
    op.drop_table("workers")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_conversations_recent", table_name="conversations")
    op.drop_index("ix_conversations_end_user", table_name="conversations")
    op.drop_table("conversations")
