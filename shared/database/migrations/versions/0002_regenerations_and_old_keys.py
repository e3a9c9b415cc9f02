"""Replies that become the selected one of their turn; old idempotency keys are found by their age."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "replies", sa.Column("becomes_selected", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_column("replies", "becomes_selected")
