"""Which replies wait for an earlier turn of their conversation: they are not in the index that claims read.

Those that wait already are not marked: the index has them, and claims look at each, until they are answered.
And what failed has indexes of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_QUEUED = "status = 'queued'"
_UNANSWERED = "status in ('incomplete', 'failed', 'cancelled')"
_DUE = {"ix_replies_due": [], "ix_replies_due_of_tenant": ["tenant_id"]}
_COLUMNS = ["available_at", "id", "model", "next_route"]


def _index_due(where: str) -> None:
    for name, first in _DUE.items():
        op.drop_index(name, table_name="replies")
        _index(name, "replies", [*first, *_COLUMNS], where)


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, unique=False, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    op.add_column("replies", sa.Column("waits_for_turn", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    _index_due(f"{_QUEUED} and waits_for_turn = false")
    _index("ix_replies_unanswered", "replies", ["tenant_id", "status", "id"], _UNANSWERED)
    _index("ix_webhook_deliveries_failed", "webhook_deliveries", ["endpoint_id", "id"], "status = 'failed'")


def downgrade() -> None:
    op.drop_index("ix_webhook_deliveries_failed", table_name="webhook_deliveries")
    op.drop_index("ix_replies_unanswered", table_name="replies")
    _index_due(_QUEUED)
    op.drop_column("replies", "waits_for_turn")
