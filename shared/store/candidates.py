"""The candidates of a conversation's last turn: one more, another try of one, and which of them it goes on from.

Each of these locks the conversation, as asking does, so that no turn can come after the last one meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, func, insert, null, select, update

from shared.database.models import messages, replies
from shared.errors import NotFound, NotLastTurn, NotRetryable, NotSelectable, TooManyCandidates
from shared.ids import new_reply_id
from shared.reply_status import OnCrash, ReplyStatus
from shared.store import conversations as conversation_rows
from shared.store.claims import IS_BLOCKED
from shared.store.replies import turns_ahead

MAX_CANDIDATES = 8


@dataclass(frozen=True, slots=True)
class Again:
    """How to make one more candidate. What is None is as it was for the one it is made from."""

    deadline_ms: int
    model: str | None = None
    parameters: Mapping[str, Any] | None = None
    metadata: Mapping[str, str] | None = None
    on_crash: OnCrash | None = None
    key_id: str | None = None
    traceparent: str | None = None


_RETRY = (
    update(replies)
    .where(replies.c.id == bindparam("reply_id"), replies.c.status.in_([ReplyStatus.FAILED, ReplyStatus.CANCELLED]))
    .values(
        status=ReplyStatus.QUEUED,
        token=replies.c.token + 1,
        tries=0,
        model_calls=0,
        next_route=0,
        available_at=bindparam("now"),
        waits_for_turn=IS_BLOCKED,
        deadline_at=bindparam("until"),
        key_id=bindparam("by_key"),
        traceparent=bindparam("new_traceparent"),
        **dict.fromkeys(
            (
                *("stop_requested", "error_code", "error_message", "error_retryable", "incomplete_reason"),
                *(
                    "input_tokens",
                    "output_tokens",
                    "usage_estimated",
                    "partial",
                    "partial_cursor",
                    "partial_lengths",
                    "started_at",
                    "finished_at",
                ),
                # It was about a text that is gone.
                *("feedback_rating", "feedback_comment", "feedback_at"),
            ),
            null(),
        ),
    )
)
_SELECTABLE = exists().where(
    replies.c.id == bindparam("reply_id"),
    replies.c.status.in_([ReplyStatus.COMPLETED, ReplyStatus.INCOMPLETE]),
    messages.c.reply_id == replies.c.id,
)
_of_turn = (replies.c.conversation_id == bindparam("of_conversation"), replies.c.turn == bindparam("of_turn"))
_sibling = replies.alias("sibling")
# Where the turn goes on from an unfinished text only because nothing better came, a whole answer takes its place.
_OUTDO = (
    update(replies)
    .where(
        replies.c.id == bindparam("reply_id"),
        exists().where(
            _sibling.c.conversation_id == bindparam("of_conversation"),
            _sibling.c.turn == bindparam("of_turn"),
            _sibling.c.selected,
            _sibling.c.status == ReplyStatus.INCOMPLETE,
            ~_sibling.c.becomes_selected,
        ),
    )
    .values(becomes_selected=True)
)
_UNSELECT = update(replies).where(*_of_turn, replies.c.selected).values(selected=False)
# A choice holds, also against a regeneration that is still under way, and against one that failed and is tried again.
_KEEP_CHOICE = update(replies).where(*_of_turn).values(becomes_selected=replies.c.id == bindparam("reply_id"))
_SELECT = update(replies).where(replies.c.id == bindparam("reply_id")).values(selected=True)


def regenerate(connection: Connection, tenant_id: str, reply_id: str, *, again: Again, now: int) -> str:
    """Queues one more candidate beside the reply. Returns its id; once completed it becomes the selected one.

    Raises:
        NotFound: the tenant has no such reply.
        NotLastTurn: the conversation has gone on.
        TooManyCandidates: the turn has eight already.
    """
    row = _lock_last_turn(connection, tenant_id, reply_id, now=now)
    highest = connection.execute(
        select(func.max(replies.c.candidate)).where(
            replies.c.conversation_id == row.conversation_id, replies.c.turn == row.turn
        )
    ).scalar_one()
    if highest >= MAX_CANDIDATES:
        raise TooManyCandidates(f"This turn has {MAX_CANDIDATES} replies, and there can be no more.")
    new_id = new_reply_id()
    connection.execute(
        insert(replies),
        {
            "id": new_id,
            "tenant_id": tenant_id,
            "conversation_id": row.conversation_id,
            "turn": row.turn,
            "candidate": highest + 1,
            "status": ReplyStatus.QUEUED,
            "model": again.model or row.model,
            "parameters": {**row.parameters, **(again.parameters or {})},
            "metadata": dict(row.metadata if again.metadata is None else again.metadata),
            "on_crash": again.on_crash or row.on_crash,
            "instructions": row.instructions,
            "request": row.request,
            "key_id": again.key_id,
            "traceparent": again.traceparent,
            "becomes_selected": True,
            "available_at": now,
            "waits_for_turn": turns_ahead(connection, row.conversation_id, row.turn) > 0,
            "deadline_at": now + again.deadline_ms,
            "created_at": now,
        },
    )
    return new_id


def retry(
    connection: Connection,
    tenant_id: str,
    reply_id: str,
    *,
    deadline_ms: int,
    key_id: str | None = None,
    traceparent: str | None = None,
    now: int,
) -> None:
    """Queues a reply again that failed or was cancelled, as if it had never been tried.

    Raises:
        NotFound: the tenant has no such reply.
        NotLastTurn: the conversation has gone on.
        NotRetryable: it neither failed nor was cancelled.
    """
    row = _lock_last_turn(connection, tenant_id, reply_id, now=now)
    connection.execute(_OUTDO, {"reply_id": reply_id, "of_conversation": row.conversation_id, "of_turn": row.turn})
    retried = connection.execute(
        _RETRY,
        {
            "reply_id": reply_id,
            "now": now,
            "until": now + deadline_ms,
            "by_key": key_id,
            "new_traceparent": traceparent,
        },
    )
    if retried.rowcount == 0:
        raise NotRetryable("Only a reply that failed or was cancelled can be tried again.")


def choose(connection: Connection, tenant_id: str, reply_id: str, *, now: int) -> None:
    """Makes the reply the one that the conversation goes on from.

    Raises:
        NotFound: the tenant has no such reply.
        NotLastTurn: the conversation has gone on, from another or from this one.
        NotSelectable: it is not completed, nor incomplete with a text.
    """
    row = _lock_last_turn(connection, tenant_id, reply_id, now=now)
    if not is_selectable(connection, reply_id):
        raise NotSelectable("Only a reply with a text, completed or incomplete, can be selected.")
    turn = {"of_conversation": row.conversation_id, "of_turn": row.turn}
    connection.execute(_KEEP_CHOICE, {**turn, "reply_id": reply_id})
    connection.execute(_UNSELECT, turn)
    connection.execute(_SELECT, {"reply_id": reply_id})


def is_selectable(connection: Connection, reply_id: str) -> bool:
    """Whether the reply has a text that a conversation could go on from."""
    return bool(connection.execute(select(_SELECTABLE), {"reply_id": reply_id}).scalar_one())


def _lock_last_turn(connection: Connection, tenant_id: str, reply_id: str, *, now: int) -> Row[Any]:
    """The reply, with its conversation locked."""
    row = connection.execute(
        select(replies).where(replies.c.tenant_id == tenant_id, replies.c.id == reply_id)
    ).one_or_none()
    last_turn = conversation_rows.touch(connection, row.conversation_id, now=now) if row else None
    if row is None or last_turn is None:
        raise NotFound("There is no such reply.")
    if row.turn != last_turn:
        raise NotLastTurn(f"The conversation has gone on: this is turn {row.turn} of {last_turn}.")
    return row
