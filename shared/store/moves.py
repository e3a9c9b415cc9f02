"""How a held reply moves on: each move is one conditional UPDATE that carries the token of the claim.

A move that finds the row changed raises `Lost`, and its transaction is undone: somebody else has the reply now, and
the caller must write nothing more. A stop that was asked for meanwhile wins over every move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Integer,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    update,
)

from shared.database.models import is_running, replies
from shared.database.prepared import Prepared
from shared.ending import NOTHING_SENT, Ending, Failure, Sent, Usage
from shared.reply_status import AttemptOutcome, IncompleteReason, ReplyStatus, StopRequest
from shared.store import attempts as attempt_rows
from shared.store import conversations as conversation_rows
from shared.store import endings
from shared.store.claims import Claim
from shared.store.webhook_endpoints import is_heard_of


class Lost(Exception):
    """The reply is no longer the caller's: taken over, ended or erased."""


# A reply that ends so puts its text into the conversation.
_WITH_MESSAGE = frozenset({ReplyStatus.COMPLETED, ReplyStatus.INCOMPLETE})

_held = and_(replies.c.id == bindparam("reply_id"), replies.c.token == bindparam("held_token"), is_running(replies))
_sibling = replies.alias("sibling")
_none_selected = ~exists().where(
    _sibling.c.conversation_id == replies.c.conversation_id, _sibling.c.turn == replies.c.turn, _sibling.c.selected
)
_unstopped = replies.c.stop_requested.is_(None)
_held_reply = replies.alias("held")
# A completed regeneration takes the place of the candidate that was selected before.
_YIELD_PLACE = Prepared(
    update(replies)
    .where(
        replies.c.conversation_id == bindparam("of_conversation"),
        replies.c.turn == bindparam("of_turn"),
        replies.c.selected,
        exists().where(
            _held_reply.c.id == bindparam("reply_id"),
            _held_reply.c.token == bindparam("held_token"),
            is_running(_held_reply),
            _held_reply.c.stop_requested.is_(None),
            _held_reply.c.becomes_selected,
        ),
    )
    .values(selected=False)
)
_PARTIAL = Prepared(
    update(replies)
    .where(_held)
    .values(
        partial=bindparam("new_content"),
        partial_cursor=bindparam("new_cursor"),
        partial_lengths=bindparam("new_lengths", type_=replies.c.partial_lengths.type),
    )
)


def unless_stopped(status: Any, *, otherwise_reason: Any) -> dict[str, Any]:
    """The status to set, where a stop that was asked for wins, and the reason if it is `incomplete`."""
    stop = replies.c.stop_requested
    return {
        "status": case(
            (stop == StopRequest.CANCEL, ReplyStatus.CANCELLED),
            (stop == StopRequest.INTERRUPT, ReplyStatus.INCOMPLETE),
            else_=status,
        ),
        "incomplete_reason": case(
            (stop == StopRequest.INTERRUPT, IncompleteReason.INTERRUPTED),
            (stop == StopRequest.CANCEL, null()),
            else_=otherwise_reason,
        ),
    }


_FINISH = Prepared(
    update(replies)
    .where(_held)
    .values(
        **unless_stopped(bindparam("new_status"), otherwise_reason=bindparam("new_incomplete_reason")),
        selected=and_(bindparam("completes", type_=Boolean), _unstopped, _none_selected),
        # The text is kept once: in the assistant's message where there is one, else here.
        partial=case(
            (replies.c.stop_requested == StopRequest.CANCEL, bindparam("new_content")),
            (replies.c.stop_requested == StopRequest.INTERRUPT, null()),
            else_=bindparam("kept_text"),
        ),
        error_code=case((_unstopped, bindparam("new_error_code"))),
        error_message=case((_unstopped, bindparam("new_error_message"))),
        error_retryable=case((_unstopped, cast(bindparam("new_error_retryable"), Boolean))),
        input_tokens=bindparam("new_input_tokens"),
        output_tokens=bindparam("new_output_tokens"),
        usage_estimated=bindparam("new_usage_estimated"),
        finished_at=bindparam("now"),
        worker_id=None,
        partial_cursor=bindparam("new_cursor"),
        partial_lengths=null(),
        token=replies.c.token + bindparam("fencing", type_=Integer),
    )
    .returning(*(replies.c[name] for name in ("id", "tenant_id", "conversation_id", "status")), is_heard_of())
)
_REQUEUE = Prepared(
    update(replies)
    .where(_held)
    .values(
        **unless_stopped(literal(ReplyStatus.QUEUED), otherwise_reason=null()),
        token=replies.c.token + 1,
        worker_id=None,
        available_at=bindparam("next_at"),
        next_route=func.coalesce(cast(bindparam("new_route"), Integer), replies.c.next_route),
        tries=replies.c.tries - bindparam("tries_back"),
        model_calls=replies.c.model_calls - bindparam("calls_back"),
        finished_at=case((replies.c.stop_requested.is_not(None), cast(bindparam("now"), BigInteger))),
    )
    .returning(replies, is_heard_of())
)


def save_partial(
    connection: Connection,
    claim: Claim,
    content: str,
    *,
    cursor: str | None = None,
    lengths: Sequence[int] | None = None,
) -> None:
    """Keeps the text so far, for readers and for `on_crash=keep_partial`.

    `cursor` is the last event in it, and `lengths` are the characters of each piece it went out in.

    Raises:
        Lost: the reply is no longer this claim's.
    """
    values: dict[str, Any] = {
        "new_content": content,
        "new_cursor": cursor,
        "new_lengths": None if lengths is None else list(lengths),
    }
    values |= {"reply_id": claim.reply_id, "held_token": claim.token}
    if _PARTIAL.run(connection, values) == 0:
        raise Lost(claim.reply_id)


def finish(connection: Connection, claim: Claim, ending: Ending, *, now: int, sent: Sent = NOTHING_SENT) -> ReplyStatus:
    """Ends the reply: the assistant's message, the status, the usage and the attempt, all or nothing.

    Returns the status it ended in, which is the stop's if one was asked for.

    Raises:
        Lost: the reply is no longer this claim's.
    """
    return end(connection, claim, ending, outcome=None, now=now, sent=sent)


def requeue(
    connection: Connection,
    claim: Claim,
    *,
    outcome: AttemptOutcome,
    next_at: int,
    now: int,
    give_back_try: bool = False,
    give_back_call: bool = False,
    next_route: int | None = None,
    failure: Failure | None = None,
    usage: Usage | None = None,
    sent: Sent = NOTHING_SENT,
) -> ReplyStatus:
    """Puts the reply back for another try at `next_at`. What did not count is given back; `usage` is paid even so.

    `next_route` is the route of its model at which that try begins to look; None leaves it as it was.

    Raises:
        Lost: the reply is no longer this claim's.
    """
    conversation_rows.bump(connection, [claim.conversation_id])
    row = _REQUEUE.one_or_none(
        connection,
        {
            "reply_id": claim.reply_id,
            "held_token": claim.token,
            "next_at": next_at,
            "tries_back": int(give_back_try),
            "calls_back": int(give_back_call),
            "new_route": next_route,
            "now": now,
        },
    )
    if row is None:
        raise Lost(claim.reply_id)
    status = ReplyStatus(row.status)
    attempt_rows.close(
        connection,
        claim.reply_id,
        claim.attempt,
        outcome=outcome,
        reply_status=status,
        usage=usage,
        failure=failure,
        now=now,
        sent=sent,
    )
    if status.is_terminal:
        conversation_rows.touch(connection, claim.conversation_id, now=now)
        endings.settle_stopped(connection, row, now=now)
    return status


def end(
    connection: Connection,
    claim: Claim,
    ending: Ending,
    *,
    outcome: AttemptOutcome | None,
    now: int,
    sent: Sent = NOTHING_SENT,
) -> ReplyStatus:
    """`finish`; with an `outcome` of the attempt it is for somebody else's claim, whose holder must be fenced off."""
    last_turn = conversation_rows.touch(connection, claim.conversation_id, now=now)
    held = {"reply_id": claim.reply_id, "held_token": claim.token}
    if claim.becomes_selected and ending.status is ReplyStatus.COMPLETED:
        _YIELD_PLACE.run(connection, {**held, "of_conversation": claim.conversation_id, "of_turn": claim.turn})
    fencing = int(outcome is not None)
    row = _FINISH.one_or_none(connection, {**held, "fencing": fencing, **_ended(ending, sent), "now": now})
    if row is None:
        raise Lost(claim.reply_id)
    status = ReplyStatus(row.status)
    if status in _WITH_MESSAGE and ending.content:
        endings.add_answer(connection, claim, ending.content, now=now)
    attempt_rows.close(
        connection,
        claim.reply_id,
        claim.attempt,
        outcome=outcome or AttemptOutcome(status),
        reply_status=status,
        usage=ending.usage,
        failure=ending.failure,
        now=now,
        sent=sent,
    )
    if status is not ReplyStatus.COMPLETED:
        endings.settle(connection, claim.conversation_id, claim.turn)
    if claim.turn != last_turn:
        endings.call_next_turn(connection, claim.conversation_id)
    endings.tell(connection, row, now=now)
    return status


def _ended(ending: Ending, sent: Sent) -> Mapping[str, Any]:
    """What the row of a reply that ends so is told."""
    return {
        "new_status": ending.status,
        "new_incomplete_reason": ending.incomplete_reason,
        "completes": ending.status is ReplyStatus.COMPLETED,
        "new_cursor": sent.cursor,
        "new_content": ending.content or None,
        "kept_text": None if ending.status in _WITH_MESSAGE else ending.content or None,
        **_error_columns(ending.failure),
        **attempt_rows.usage_columns(ending.usage),
    }


def _error_columns(failure: Failure | None) -> Mapping[str, Any]:
    return {
        "new_error_code": failure.code if failure else None,
        "new_error_message": failure.message if failure else None,
        "new_error_retryable": failure.retryable if failure else None,
    }
