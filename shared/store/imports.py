"""Conversations that were held elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, exists, select

from shared.database.models import conversations
from shared.ids import new_message_id
from shared.store import conversations as conversation_rows
from shared.store import messages as message_rows
from shared.store.turns import title_of

# Rows held in memory at a time.
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Imported:
    """A conversation and what was said in it, as `(role, content, milliseconds)`; at least one message."""

    conversation_id: str
    tenant_id: str
    title: str | None
    end_user: str | None
    metadata: Mapping[str, str]
    messages: Sequence[tuple[str, str, int]]


def add(connection: Connection, imported: Imported) -> bool:
    """Stores it, each message as a turn of its own. False, and nothing changes, if there is a conversation of that id.

    Without a title it gets one as any other does.
    """
    if connection.execute(select(exists().where(conversations.c.id == imported.conversation_id))).scalar_one():
        return False
    said_at = [at for _, _, at in imported.messages]
    first = next((content for role, content, _ in imported.messages if role == "user"), None)
    conversation_rows.create(
        connection,
        {
            "id": imported.conversation_id,
            "tenant_id": imported.tenant_id,
            "title": imported.title or (None if first is None else title_of(first)),
            "end_user": imported.end_user,
            "parameters": {},
            "metadata": dict(imported.metadata),
            "next_turn": len(imported.messages) + 1,
            "created_at": min(said_at),
            "updated_at": max(said_at),
        },
    )
    rows = [
        {
            "id": new_message_id(),
            "tenant_id": imported.tenant_id,
            "conversation_id": imported.conversation_id,
            "turn": turn,
            "position": 0,
            "role": role,
            "content": content,
            "parts": None,
            "reply_id": None,
            "created_at": at,
        }
        for turn, (role, content, at) in enumerate(imported.messages, start=1)
    ]
    for start in range(0, len(rows), CHUNK):
        message_rows.add(connection, rows[start : start + CHUNK])
    return True
