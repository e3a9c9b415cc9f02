"""What was used: who asked for each reply, whose usage each attempt is, and the sums of it by day."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_UNCOUNTED = sa.text("uncounted_day is not null")
_UNCOUNTED_END = sa.text("uncounted_end is not null")
_COLUMNS = {
    "replies": (
        ("key_id", sa.String(length=64)),
        ("usage_estimated", sa.Boolean(create_constraint=False)),
        ("uncounted_end", sa.String(length=16)),
    ),
    "attempts": (
        ("model", sa.String(length=200)),
        ("key_id", sa.String(length=64)),
        ("end_user", sa.String(length=255)),
        ("usage_estimated", sa.Boolean(create_constraint=False)),
        ("reply_status", sa.String(length=16)),
        ("uncounted_day", sa.Integer()),
    ),
}
_COUNTS = ("completed", "incomplete", "failed", "cancelled", "attempts")
_TOKENS = ("input_tokens", "output_tokens", "estimated_tokens")


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True))
    op.create_table(
        "usage_days",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("end_user", sa.String(length=255), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _TOKENS),
        sa.PrimaryKeyConstraint("tenant_id", "day", "model", "key_id", "end_user", name=op.f("pk_usage_days")),
    )
    op.create_index("ix_usage_days_of_key", "usage_days", ["tenant_id", "key_id", "day"], unique=False)
    op.create_index("ix_usage_days_of_end_user", "usage_days", ["tenant_id", "end_user", "day"], unique=False)
    for column in ("key_id", "end_user"):
        name = f"ix_attempts_uncounted_of_{column.removesuffix('_id')}"
        op.create_index(
            name,
            "attempts",
            ["tenant_id", column],
            unique=False,
            sqlite_where=_UNCOUNTED,
            postgresql_where=_UNCOUNTED,
        )
    op.create_index(
        "ix_replies_uncounted_end",
        "replies",
        ["tenant_id"],
        unique=False,
        sqlite_where=_UNCOUNTED_END,
        postgresql_where=_UNCOUNTED_END,
    )


def downgrade() -> None:
    op.drop_index("ix_replies_uncounted_end", table_name="replies")
    op.drop_index("ix_attempts_uncounted_of_end_user", table_name="attempts")
    op.drop_index("ix_attempts_uncounted_of_key", table_name="attempts")
    op.drop_table("usage_days")
    for table, columns in _COLUMNS.items():
        for name, _ in reversed(columns):
            op.drop_column(table, name)
