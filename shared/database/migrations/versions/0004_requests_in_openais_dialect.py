"""What requests in OpenAI's dialect say, and the pieces of a text that is not whole yet."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_EPHEMERAL = sa.text("kind = 'ephemeral'")


def upgrade() -> None:
    op.add_column("replies", sa.Column("partial_lengths", sa.JSON(), nullable=True))
    op.add_column("replies", sa.Column("instructions", sa.Text(), nullable=True))
    op.add_column("replies", sa.Column("request", sa.JSON(), nullable=True))
    op.create_index(
        "ix_conversations_ephemeral",
        "conversations",
        ["updated_at"],
        unique=False,
        sqlite_where=_EPHEMERAL,
        postgresql_where=_EPHEMERAL,
    )


def downgrade() -> None:
    op.drop_index("ix_conversations_ephemeral", table_name="conversations")
    op.drop_column("replies", "request")
    op.drop_column("replies", "instructions")
    op.drop_column("replies", "partial_lengths")
