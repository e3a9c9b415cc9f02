"""How long the model took to begin, on each attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("first_token_ms", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("attempts", "first_token_ms")
