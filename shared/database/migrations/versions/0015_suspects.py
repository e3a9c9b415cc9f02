"""Which replies may have killed the worker that had them."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_suspect = sa.Boolean(create_constraint=False)
    op.add_column("replies", sa.Column("is_suspect", is_suspect, nullable=False, server_default=sa.text("false")))


def downgrade() -> None:
    op.drop_column("replies", "is_suspect")
