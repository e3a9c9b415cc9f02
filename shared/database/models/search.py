"""What searching stands on: folded texts with an index of their trigrams, and a list of what is not in it yet.

Triggers note down what is to be indexed, in the transaction that stores it; `shared.store.search_index` does it later.
Nothing of this is a source: all of it can be made again from conversations and messages.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError

from shared.database.models.conventions import metadata, partial_index

# SQLite numbers rows by itself only where the column is called INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

# A message, or the title of a conversation where there is no message.
search_documents = Table(
    "search_documents",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("message_id", ForeignKey("messages.id", ondelete="CASCADE"), unique=True),
    Column("text", Text, nullable=False),
    # On PostgreSQL the numbers of its trigrams. SQLite keeps them in an FTS5 table, `search_index`.
    Column("grams", JSON(none_as_null=True).with_variant(ARRAY(Integer), "postgresql")),
)
Index("ix_search_documents_conversation", search_documents.c.conversation_id, search_documents.c.id)
partial_index("uq_search_documents_title", search_documents.c.conversation_id, where="message_id is null", unique=True)
Index("ix_search_documents_grams", search_documents.c.grams, postgresql_using="gin").ddl_if(dialect="postgresql")

search_pending = Table(
    "search_pending",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("conversation_id", String(64), nullable=False),
    Column("message_id", String(64)),
)

# Made again from the others wherever they are copied to.
DERIVED = frozenset({search_documents, search_pending})

# detail=none: which texts have a trigram, not where, for a third of the space. The text itself tells the rest.
SQLITE_INDEX = (
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
SQLITE_TRIGGERS = (
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
POSTGRESQL_TRIGGERS = (
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


def has_trigrams(connection: Connection) -> bool:
    """Whether this SQLite can index trigrams: built with FTS5, and from 3.34 on."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(
                "create virtual table temp.search_probe using fts5(text, tokenize='trigram case_sensitive 1')"
            )
            connection.exec_driver_sql("drop table temp.search_probe")
    except DBAPIError:
        return False
    return True


@event.listens_for(metadata, "after_create")
def _make(_target: Any, connection: Connection, **_: Any) -> None:
    """The index and the triggers, once the tables are there."""
    made = POSTGRESQL_TRIGGERS
    if connection.dialect.name == "sqlite":
        made = (*(SQLITE_INDEX if has_trigrams(connection) else ()), *SQLITE_TRIGGERS)
    for statement in made:
        connection.exec_driver_sql(statement)
