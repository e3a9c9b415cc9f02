"""Receipts of erasures, which conversation an idempotency key is about, and how many slots a worker has."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_UNFINISHED = sa.text("finished_at is null")
# What a key made is called `<conversation>` or `<conversation>/…`, but for retried replies, which were called by
# their own id.
_CONVERSATION = {
    "sqlite": "substr(resource_id, 1, instr(resource_id || '/', '/') - 1)",
    "postgresql": "split_part(resource_id, '/', 1)",
}


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("end_user", sa.String(length=255), nullable=True),
        sa.Column("up_to", sa.String(length=64), nullable=True),
        sa.Column("erased", sa.JSON(), nullable=False),
        sa.Column("logs_expire_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_index(
        "ix_erasures_unfinished",
        "erasures",
        ["tenant_id", "end_user"],
        unique=False,
        sqlite_where=_UNFINISHED,
        postgresql_where=_UNFINISHED,
    )
    op.add_column("idempotency_keys", sa.Column("conversation_id", sa.String(length=64), nullable=True))
    op.create_index("ix_idempotency_keys_conversation_id", "idempotency_keys", ["conversation_id"], unique=False)
    op.add_column("workers", sa.Column("slots", sa.Integer(), nullable=True))
    conversation = _CONVERSATION[op.get_bind().dialect.name]
    op.execute(
        f"update idempotency_keys set conversation_id = {conversation} where resource_type <> 'reply'"  # noqa: S608
    )
    op.execute(
        "update idempotency_keys set conversation_id = "
        "(select conversation_id from replies where replies.id = resource_id) where resource_type = 'reply'"
    )


def downgrade() -> None:
    op.drop_column("workers", "slots")
    op.drop_index("ix_idempotency_keys_conversation_id", table_name="idempotency_keys")
    op.drop_column("idempotency_keys", "conversation_id")
    op.drop_index("ix_erasures_unfinished", table_name="erasures")
    op.drop_table("erasures")
