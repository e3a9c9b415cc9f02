"""Putting what was said into the index, some time after it was stored: indexing costs more than accepting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, exists, insert, select

from shared.database.models import conversations, messages
from shared.database.search_tables import search_documents, search_pending
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
        connection.execute(insert(search_documents), documents[::-1])
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
