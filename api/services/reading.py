"""Reading what belongs together on one snapshot of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from api.rendering import Row
from shared.errors import NotFound
from shared.store import conversations, messages, replies
from shared.store.turns import Turn


@dataclass(frozen=True, slots=True)
class ConversationView:
    """A conversation with its newest messages, oldest of them first, and its live replies."""

    row: Row
    messages: Sequence[Row]
    has_previous: bool
    live_replies: Sequence[Row]


def conversation(connection: Connection, tenant_id: str, conversation_id: str, *, newest: int) -> ConversationView:
    """The conversation with its `newest` messages.

    Raises:
        NotFound: the tenant has no such conversation.
    """
    row = existing(connection, tenant_id, conversation_id)
    # One more than is shown tells whether there are earlier ones.
    found = messages.page(connection, conversation_id, limit=newest + 1)
    shown = found[-newest:] if newest else []
    return ConversationView(row, shown, len(found) > newest, replies.live(connection, conversation_id))


def existing(connection: Connection, tenant_id: str, conversation_id: str) -> Row:
    """The conversation's row.

    Raises:
        NotFound: the tenant has no such conversation.
    """
    row = conversations.get(connection, tenant_id, conversation_id)
    if row is None or row["kind"] == "ephemeral":
        raise NotFound("There is no such conversation.")
    return row


def opening(connection: Connection, tenant_id: str, conversation_id: str, turn: int) -> Row:
    """The message that opened the turn.

    Raises:
        NotFound: the tenant has no such turn.
    """
    message = messages.of_turn(connection, conversation_id, turn)
    if message is None or message["tenant_id"] != tenant_id:
        raise NotFound("There is no such turn.")
    return message


def turn(connection: Connection, tenant_id: str, conversation_id: str, number: int) -> Turn:
    """A message and the replies it asked for, as they are now.

    Raises:
        NotFound: the tenant has no such turn.
    """
    message = opening(connection, tenant_id, conversation_id, number)
    rows = replies.of_turn(connection, conversation_id, number)
    return Turn(conversation_id, number, dict(message), [dict(row) for row in rows])


def reply(connection: Connection, tenant_id: str, reply_id: str) -> Row:
    """A reply as it is now.

    Raises:
        NotFound: the tenant has no such reply.
    """
    row = replies.get(connection, tenant_id, reply_id)
    if row is None:
        raise NotFound("There is no such reply.")
    return row
