"""Searching what was said, and what people think of replies."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from shared.database.models import has_trigrams

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TITLE = sa.text("message_id is null")
_TRIGGERS = {
    "search_message_added": "messages",
    "search_title_added": "conversations",
    "search_title_changed": "conversations",
}

_SQLITE_INDEX = (
    """
    create virtual table search_index using fts5(text, content='search_documents', content_rowid='id',
    tokenize='trigram case_sensitive 1', detail='none', columnsize=0)
    """,
    """
    create trigger search_document_added after insert on search_documents begin
    insert into search_index (rowid, text) values (new.id, new.text); end
    """,
    """
    create trigger search_document_removed after delete on search_documents begin
    insert into search_index (search_index, rowid, text) values ('delete', old.id, old.text); end
    """,
)
_SQLITE_TRIGGERS = (
    """
    create trigger search_message_added after insert on messages begin
    insert into search_pending (conversation_id, message_id) values (new.conversation_id, new.id); end
    """,
    """
    create trigger search_title_added after insert on conversations when new.title is not null begin
    insert into search_pending (conversation_id) values (new.id); end
    """,
    """
    create trigger search_title_changed after update of title on conversations when new.title is not old.title begin
    delete from search_documents where conversation_id = new.id and message_id is null;
    insert into search_pending (conversation_id) values (new.id); end
    """,
)
_POSTGRESQL_TRIGGERS = (
    """
    create function search_message_added() returns trigger language plpgsql as 'begin
    insert into search_pending (conversation_id, message_id) values (new.conversation_id, new.id); return null; end'
    """,
    """
    create trigger search_message_added after insert on messages
    for each row execute function search_message_added()
    """,
    """
    create function search_title_added() returns trigger language plpgsql as 'begin
    insert into search_pending (conversation_id) values (new.id); return null; end'
    """,
    """
    create trigger search_title_added after insert on conversations
    for each row when (new.title is not null) execute function search_title_added()
    """,
    """
    create function search_title_changed() returns trigger language plpgsql as 'begin
    delete from search_documents where conversation_id = new.id and message_id is null;
    insert into search_pending (conversation_id) values (new.id); return null; end'
    """,
    """
    create trigger search_title_changed after update of title on conversations
    for each row when (old.title is distinct from new.title) execute function search_title_changed()
    """,
)


def upgrade() -> None:
    op.add_column("replies", sa.Column("feedback_rating", sa.String(length=8), nullable=True))
    op.add_column("replies", sa.Column("feedback_comment", sa.Text(), nullable=True))
    op.add_column("replies", sa.Column("feedback_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "search_documents",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("grams", sa.JSON().with_variant(ARRAY(sa.Integer()), "postgresql"), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_search_documents_conversation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_search_documents_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_documents")),
        sa.UniqueConstraint("message_id", name=op.f("uq_search_documents_message_id")),
    )
    op.create_index("ix_search_documents_conversation", "search_documents", ["conversation_id", "id"], unique=False)
    op.create_index(
        "uq_search_documents_title",
        "search_documents",
        ["conversation_id"],
        unique=True,
        sqlite_where=_TITLE,
        postgresql_where=_TITLE,
    )
    op.create_table(
        "search_pending",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("conversation_id", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_pending")),
    )
    connection = op.get_bind()
    made = _POSTGRESQL_TRIGGERS
    if connection.dialect.name == "postgresql":
        op.create_index("ix_search_documents_grams", "search_documents", ["grams"], postgresql_using="gin")
    else:
        made = (*(_SQLITE_INDEX if has_trigrams(connection) else ()), *_SQLITE_TRIGGERS)
    for statement in made:
        connection.exec_driver_sql(statement)
    # What is there already is indexed by and by, the newest first.
    op.execute(
        "insert into search_pending (conversation_id, message_id) select conversation_id, id from messages order by id"
    )
    op.execute("insert into search_pending (conversation_id) select id from conversations where title is not null")


def downgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for trigger, table in _TRIGGERS.items():
        op.execute(f"drop trigger {trigger}" + (f" on {table}" if on_postgresql else ""))
        if on_postgresql:
            op.execute(f"drop function {trigger}()")
    op.drop_table("search_pending")
    op.drop_table("search_documents")
    if not on_postgresql:
        op.execute("drop table if exists search_index")
    op.drop_column("replies", "feedback_at")
    op.drop_column("replies", "feedback_comment")
    op.drop_column("replies", "feedback_rating")
