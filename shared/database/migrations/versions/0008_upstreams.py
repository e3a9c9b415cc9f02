"""Which upstream each attempt asked, where the next one begins, and what a claim passes over."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_QUEUED = sa.text("status = 'queued'")
_DUE = {"ix_replies_due": [], "ix_replies_due_of_tenant": ["tenant_id"]}


def _index_due(*, more: list[str]) -> None:
    for name, first in _DUE.items():
        op.drop_index(name, table_name="replies")
        op.create_index(
            name,
            "replies",
            [*first, "available_at", "id", *more],
            unique=False,
            sqlite_where=_QUEUED,
            postgresql_where=_QUEUED,
        )


def upgrade() -> None:
    op.add_column("attempts", sa.Column("upstream", sa.String(length=100), nullable=True))
    op.add_column("attempts", sa.Column("upstream_model", sa.String(length=200), nullable=True))
    op.add_column("replies", sa.Column("next_route", sa.Integer(), server_default="0", nullable=False))
    _index_due(more=["model", "next_route"])


def downgrade() -> None:
    _index_due(more=[])
    op.drop_column("replies", "next_route")
    op.drop_column("attempts", "upstream_model")
    op.drop_column("attempts", "upstream")
