"""Putting what was said into the index, some time after it was stored: indexing costs more than accepting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, exists, insert, select

from shared.database.models import conversations, messages, search_documents, search_pending
from shared.database.prepared import PreparedRows
from shared.search_text import fold, numbers_of, trigrams

# What one write looks at, and how much text it takes: a few milliseconds' work. Others wait for it meanwhile.
ROWS_AT_ONCE = 64
CHARS_AT_ONCE = 10_000

# The newest first: what people look for right after an upgrade, with years to index, is what was said just now.
_NEXT = (
    select(
        search_pending.c.id,
        search_pending.c.message_id,
        conversations.c.id.label("conversation_id"),
        conversations.c.tenant_id,
        conversations.c.kind,
        conversations.c.title,
        messages.c.content,
    )
    .select_from(
        search_pending.outerjoin(conversations, conversations.c.id == search_pending.c.conversation_id).outerjoin(
            messages, messages.c.id == search_pending.c.message_id
        )
    )
    .order_by(search_pending.c.id.desc())
    .limit(ROWS_AT_ONCE)
    .with_for_update(of=search_pending, skip_locked=True)
)
_ADD = PreparedRows.inserting(insert(search_documents), "tenant_id", "conversation_id", "message_id", "text", "grams")
# What one write goes over when SQLite's index is written anew.
PAGES_AT_ONCE = 100
# The number of a SQLite file that is its application's own counts the removals since the index was written anew.
_REMOVALS = "PRAGMA user_version"
_MAX_REMOVALS = 1 << 30
_HAS_PENDING = select(exists(select(search_pending.c.id)))


def has_pending(connection: Connection) -> bool:
    """Whether anything is still to be indexed."""
    return bool(connection.execute(_HAS_PENDING).scalar_one())


def index_some(connection: Connection) -> int:
    """Indexes some of what is pending; returns how many entries of the list are done with, 0 if it is empty."""
    rows = _portion(connection.execute(_NEXT).mappings().all())
    if not rows:
        return 0
    connection.execute(delete(search_pending).where(search_pending.c.id.in_([row["id"] for row in rows])))
    # What was deleted meanwhile, and what is not to be kept, is in no index.
    wanted = {(row["conversation_id"], row["message_id"]): row for row in rows if row["kind"] == "chat"}
    found = {place: text for place, row in wanted.items() if (text := fold(_text_of(row)).strip())}
    titles = [conversation_id for conversation_id, message_id in found if message_id is None]
    if titles:
        connection.execute(
            delete(search_documents).where(
                and_(search_documents.c.conversation_id.in_(titles), search_documents.c.message_id.is_(None))
            )
        )
    if found:
        has_grams = connection.dialect.name == "postgresql"
        documents = [_document(wanted[place], text, has_grams=has_grams) for place, text in found.items()]
        # In the order in which it was said.
        _ADD.run(connection, documents[::-1])
    return len(rows)


def _text_of(row: RowMapping) -> str:
    return (row["title"] if row["message_id"] is None else row["content"]) or ""


def _portion(rows: Sequence[RowMapping]) -> Sequence[RowMapping]:
    """The first of them, at least one, that have no more text than one write should take."""
    chars = 0
    for number, row in enumerate(rows):
        chars += len(_text_of(row))
        if number and chars > CHARS_AT_ONCE:
            return rows[:number]
    return rows


def _document(row: RowMapping, text: str, *, has_grams: bool) -> dict[str, Any]:
    return {
        "tenant_id": row["tenant_id"],
        "conversation_id": row["conversation_id"],
        "message_id": row["message_id"],
        "text": text,
        "grams": numbers_of(trigrams(text)) if has_grams else None,
    }


# SQLite only marks what is taken out of its index. It can take it out at once, but looks for each trigram of each
# message then: seconds for a long conversation, in which nobody else writes.


def note_removal(connection: Connection, documents: ColumnElement[bool]) -> None:
    """SQLite's index is to be written anew, since it keeps the trigrams of the documents, which are about to go."""
    if connection.dialect.name != "sqlite":
        return
    if connection.execute(select(exists(select(search_documents.c.id).where(documents)))).scalar_one():
        removals = connection.exec_driver_sql(_REMOVALS).scalar_one() % _MAX_REMOVALS + 1
        connection.exec_driver_sql(f"{_REMOVALS}={removals}")


def removals(connection: Connection) -> int:
    """What counts the removals since SQLite's index was written anew; 0 if there is nothing to do."""
    if connection.dialect.name != "sqlite":
        return 0
    has_index = connection.exec_driver_sql("select count(*) from sqlite_master where name = 'search_index'")
    return int(connection.exec_driver_sql(_REMOVALS).scalar_one()) if has_index.scalar_one() else 0


def rewrite_some(connection: Connection, *, is_first: bool) -> bool:
    """Writes some of SQLite's index anew, without what was taken out (sqlite.org/fts5.html, section 6.8). False: all
    is done.
    """
    changes = connection.exec_driver_sql("select total_changes()").scalar_one()
    connection.exec_driver_sql("PRAGMA secure_delete=ON")
    try:
        pages = -PAGES_AT_ONCE if is_first else PAGES_AT_ONCE
        connection.exec_driver_sql("insert into search_index (search_index, rank) values ('merge', ?)", (pages,))
    finally:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")
    # One change is the command's own.
    return is_first or bool(connection.exec_driver_sql("select total_changes()").scalar_one() - changes > 1)


def note_rewritten(connection: Connection, found: int) -> None:
    """All is written anew that had been taken out when there were as many removals as were `found`."""
    if removals(connection) == found:
        connection.exec_driver_sql(f"{_REMOVALS}=0")
