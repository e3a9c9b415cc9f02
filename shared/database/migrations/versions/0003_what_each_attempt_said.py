"""What each attempt said, piece by piece, is kept with the attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("lengths", sa.JSON(), nullable=True))
    op.add_column("attempts", sa.Column("text", sa.Text(), nullable=True))
    op.drop_column("replies", "deltas")


def downgrade() -> None:
    op.add_column("replies", sa.Column("deltas", sa.JSON(), nullable=True))
    op.drop_column("attempts", "text")
    op.drop_column("attempts", "lengths")
