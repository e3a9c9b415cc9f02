"""What every end of a reply brings about, whoever ended it: the answer, what the turn goes on from, whose turn it is,
who is told.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from shared.database.models import is_live, messages, replies
from shared.database.prepared import Prepared
from shared.ids import answer_id
from shared.reply_status import ReplyStatus
from shared.store import webhook_deliveries
from shared.store.claims import Claim

_ADD_ANSWER = Prepared(insert(messages))
_CANDIDATES = Prepared(
    select(replies.c.id, replies.c.status, replies.c.selected, messages.c.id.label("message_id"))
    .select_from(replies.outerjoin(messages, messages.c.reply_id == replies.c.id))
    .where(replies.c.conversation_id == bindparam("of_conversation"), replies.c.turn == bindparam("of_turn"))
    .order_by(replies.c.candidate)
)
_next = replies.alias("next")
_CALL_NEXT_TURN = Prepared(
    update(replies)
    .where(
        replies.c.conversation_id == bindparam("of_conversation"),
        replies.c.turn
        == select(func.min(_next.c.turn))
        .where(_next.c.conversation_id == bindparam("of_conversation"), is_live(_next))
        .scalar_subquery(),
        is_live(replies),
        replies.c.waits_for_turn,
    )
    .values(waits_for_turn=False)
)


def add_answer(connection: Connection, claim: Claim, content: str, *, now: int) -> None:
    """Puts the claim's text into its conversation."""
    _ADD_ANSWER.run(
        connection,
        {
            "id": answer_id(claim.reply_id, claim.attempt),
            "tenant_id": claim.tenant_id,
            "conversation_id": claim.conversation_id,
            "turn": claim.turn,
            "position": claim.candidate,
            "role": "assistant",
            "content": content,
            "reply_id": claim.reply_id,
            "created_at": now,
        },
    )


def settle(connection: Connection, conversation_id: str, turn: int) -> None:
    """Once all candidates of a turn have ended and none is selected, the first unfinished text continues it."""
    rows = _CANDIDATES.all(connection, {"of_conversation": conversation_id, "of_turn": turn})
    if any(row.selected or not ReplyStatus(row.status).is_terminal for row in rows):
        return
    for row in rows:
        if row.message_id is not None:
            # It was not chosen, also where it is a regeneration: a whole answer may still outdo it.
            by_default = update(replies).where(replies.c.id == row.id).values(selected=True, becomes_selected=False)
            connection.execute(by_default)
            return


def call_next_turn(connection: Connection, conversation_id: str) -> None:
    """Puts the first live turn of the conversation, which is locked, in line for a worker. Called after every end."""
    _CALL_NEXT_TURN.run(connection, {"of_conversation": conversation_id})


def settle_stopped(connection: Connection, row: Row[Any], *, now: int) -> None:
    """What is left to do for a reply that ended without its worker: an interrupt keeps the text so far."""
    if row.status == ReplyStatus.INCOMPLETE and row.partial:
        add_answer(connection, Claim.of_row(row), row.partial, now=now)
        connection.execute(update(replies).where(replies.c.id == row.id).values(partial=None))
    settle(connection, row.conversation_id, row.turn)
    call_next_turn(connection, row.conversation_id)
    tell(connection, row, now=now)


def tell(connection: Connection, row: Row[Any], *, now: int) -> None:
    """Makes a delivery of the end for each who is to hear of it: the last thing in the transaction that ends a reply.

    The row is what the statement that ended it returned, with `is_heard_of`: nobody is looked for where none is.
    """
    if row.is_heard_of:
        webhook_deliveries.add_for_end(connection, row.tenant_id, row.conversation_id, row.id, now=now)
