"""Asking live replies to stop.

A queued reply ends at once. One that a worker holds gets the wish noted down: its worker, or whoever moves it next,
ends it, since every move looks at the wish first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, literal, select, update

from shared.database.models import is_live, replies
from shared.database.prepared import Prepared
from shared.errors import NotFound
from shared.messaging import reply_events
from shared.messaging.reply_events import Cursor, Event
from shared.reply_status import IncompleteReason, ReplyStatus, StopRequest
from shared.store import conversations as conversation_rows
from shared.store import endings
from shared.store.webhook_endpoints import is_heard_of

_ENDS_AS = {StopRequest.CANCEL: ReplyStatus.CANCELLED, StopRequest.INTERRUPT: ReplyStatus.INCOMPLETE}
_REASON = {StopRequest.CANCEL: None, StopRequest.INTERRUPT: IncompleteReason.INTERRUPTED}


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a stop came to: replies whose workers are to be told, those that ended at once, and what to tell of them."""

    running: Sequence[str] = field(default_factory=tuple)
    ended: Sequence[str] = field(default_factory=tuple)
    events: Sequence[Event] = field(default_factory=tuple, compare=False)


NOTHING_STOPPED = Stopped()


def _stop(how: StopRequest) -> Any:
    is_queued = replies.c.status == ReplyStatus.QUEUED
    # Who wants a reply cancelled wants none of it, whatever was asked before or comes after.
    wish = literal(how) if how is StopRequest.CANCEL else func.coalesce(replies.c.stop_requested, literal(how))
    return (
        update(replies)
        .where(is_live(replies))
        .values(
            stop_requested=wish,
            status=case((is_queued, literal(_ENDS_AS[how])), else_=replies.c.status),
            incomplete_reason=case((is_queued, literal(_REASON[how])), else_=replies.c.incomplete_reason),
            finished_at=case((is_queued, bindparam("now")), else_=replies.c.finished_at),
            uncounted_end=case((is_queued, literal(_ENDS_AS[how])), else_=replies.c.uncounted_end),
            token=replies.c.token + case((is_queued, 1), else_=0),
        )
        .returning(replies, is_heard_of())
    )


_STOP_ONE = {how: _stop(how).where(replies.c.id == bindparam("reply_id")) for how in StopRequest}
_CANCEL_LATER_TURNS = _stop(StopRequest.CANCEL).where(
    replies.c.conversation_id == bindparam("of_conversation"), replies.c.turn > bindparam("after_turn")
)
_LIVE = (
    select(replies.c.id, replies.c.turn, replies.c.attempt)
    .where(replies.c.conversation_id == bindparam("of_conversation"), is_live(replies))
    .order_by(replies.c.turn, replies.c.candidate)
)

_STATE = Prepared(select(replies.c.token, replies.c.stop_requested).where(replies.c.id == bindparam("reply_id")))


def cancel(connection: Connection, tenant_id: str, reply_id: str, *, now: int) -> Stopped:
    """Asks one reply to stop. One that has ended stays as it is.

    Raises:
        NotFound: the tenant has no such reply.
    """
    found = connection.execute(
        select(replies.c.conversation_id, replies.c.status).where(
            replies.c.tenant_id == tenant_id, replies.c.id == reply_id
        )
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such reply.")
    if ReplyStatus(found.status).is_terminal:
        return Stopped()
    conversation_rows.touch(connection, found.conversation_id, now=now)
    row = connection.execute(_STOP_ONE[StopRequest.CANCEL], {"reply_id": reply_id, "now": now}).one_or_none()
    return _settled(connection, [row] if row else [], now=now)


def interrupt(connection: Connection, conversation_id: str, *, now: int) -> Stopped:
    """Asks the turn that is being answered to stop with the text it has, and ends those that wait behind it.

    The conversation is locked already. Turns are answered strictly in order, so that only the first live one has any
    text; of that, too, what was never tried is cancelled.
    """
    live = connection.execute(_LIVE, {"of_conversation": conversation_id}).all()
    if not live:
        return Stopped()
    first = live[0].turn
    stopped: list[Row[Any]] = []
    for row in live:
        if row.turn == first:
            how = StopRequest.INTERRUPT if row.attempt else StopRequest.CANCEL
            stopped += connection.execute(_STOP_ONE[how], {"reply_id": row.id, "now": now}).all()
    waiting = connection.execute(
        _CANCEL_LATER_TURNS, {"of_conversation": conversation_id, "after_turn": first, "now": now}
    ).all()
    found = _settled(connection, stopped, now=now)
    for cancelled in waiting:
        endings.tell(connection, cancelled, now=now)
    ended = [*found.ended, *(row.id for row in waiting)]
    return Stopped(found.running, ended, [*found.events, *map(_event, waiting)])


def _settled(connection: Connection, stopped: Sequence[Row[Any]], *, now: int) -> Stopped:
    ended = [row for row in stopped if ReplyStatus(row.status).is_terminal]
    for row in ended:
        endings.settle_stopped(connection, row, now=now)
    running = [row.id for row in stopped if row.status == ReplyStatus.IN_PROGRESS]
    return Stopped(running, [row.id for row in ended], [_event(row) for row in ended])


def _event(row: Row[Any]) -> Event:
    return reply_events.moved(row.id, Cursor(row.token, 0), ReplyStatus(row.status))


def state(connection: Connection, reply_id: str) -> Any:
    """`token` and `stop_requested` of a reply, or None if it is gone."""
    return _STATE.one_or_none(connection, {"reply_id": reply_id})
