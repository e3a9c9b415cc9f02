"""Moving on what nobody moves any more: replies of dead processes, and replies past their deadline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, bindparam, case, exists, func, literal, null, select, update

from shared.database.models import attempts, is_in_line, is_live, is_queued, is_running, replies, workers
from shared.database.prepared import Prepared
from shared.ending import TOO_LATE, Ending, Failure, Sent
from shared.reply_status import AttemptOutcome, IncompleteReason, OnCrash, ReplyError, ReplyStatus, StopRequest
from shared.store import attempts as attempt_rows
from shared.store import conversations as conversation_rows
from shared.store import endings, moves, prompts
from shared.store import workers as worker_rows
from shared.store.claims import IS_BLOCKED, Claim
from shared.store.webhook_endpoints import is_heard_of


@dataclass(frozen=True, slots=True)
class Caps:
    """How often a reply may be tried, how often the model may be called for it, and how much it is shown each time."""

    tries: int
    model_calls: int
    prompt_tokens: int = prompts.USUAL_TOKENS


@dataclass(frozen=True, slots=True)
class Held:
    """A reply that a process holds, and what somebody asked of it since."""

    claim: Claim
    stop_requested: StopRequest | None


@dataclass(frozen=True, slots=True)
class Moved:
    """A reply, the status it has come to and the token it has now.

    `lost` is the attempt that was under way, and `code` says why it failed, if it did.
    """

    reply_id: str
    conversation_id: str
    status: ReplyStatus
    token: int
    lost: int | None
    code: ReplyError | None = None


_LOST_WORKER = Failure(ReplyError.WORKER_LOST, "The worker that was answering stopped without a word.", retryable=True)
_EXHAUSTED = Failure(
    ReplyError.ATTEMPTS_EXHAUSTED, "Workers stopped too often while answering; it is not tried again.", retryable=True
)

_OWNERLESS = Prepared(
    select(replies.c.worker_id)
    .distinct()
    .where(is_running(replies), ~exists().where(workers.c.id == replies.c.worker_id))
)
_HELD_BY = Prepared(select(replies).where(replies.c.worker_id == bindparam("of_worker"), is_running(replies)))
_OVERDUE = Prepared(
    select(*(replies.c[name] for name in ("id", "token", "status", "conversation_id", "attempt")))
    .where(is_live(replies), replies.c.deadline_at <= bindparam("now"))
    .order_by(replies.c.deadline_at)
    .limit(bindparam("limit"))
)
# What a dead worker held, with the beginning of each attempt.
_HELD = (
    select(replies, attempts.c.started_at.label("attempt_started_at"))
    .select_from(
        replies.outerjoin(attempts, (attempts.c.reply_id == replies.c.id) & (attempts.c.attempt == replies.c.attempt))
    )
    .where(replies.c.worker_id == bindparam("of_worker"), is_running(replies))
    .order_by(replies.c.conversation_id, replies.c.id)
)
# See `_suspects`: begun so shortly before the last one that either may have been first to kill, and how many at most.
AT_ONCE_MS = 500
SUSPECTS_AT_MOST = 4
_SUSPECT = (
    update(replies)
    .where(replies.c.id.in_(bindparam("reply_ids", expanding=True)))
    .values(
        is_suspect=replies.c.id.in_(bindparam("suspects", expanding=True)),
        # Ahead of the rest: behind it, it would have to wait until those have ended.
        available_at=replies.c.available_at
        - case((replies.c.id.in_(bindparam("suspects", expanding=True)), 1), else_=0),
    )
)

_ENDS_AS = moves.unless_stopped(literal(ReplyStatus.FAILED), otherwise_reason=null())
_EXPIRE = (
    update(replies)
    .where(
        replies.c.id == bindparam("reply_id"),
        replies.c.token == bindparam("held_token"),
        is_live(replies),
        replies.c.deadline_at <= bindparam("now"),
    )
    .values(
        **_ENDS_AS,
        token=replies.c.token + 1,
        worker_id=None,
        error_code=case((replies.c.stop_requested.is_(None), TOO_LATE.code)),
        error_message=case((replies.c.stop_requested.is_(None), TOO_LATE.message)),
        error_retryable=case((replies.c.stop_requested.is_(None), literal(TOO_LATE.retryable))),
        uncounted_end=case((is_queued(replies), _ENDS_AS["status"]), else_=replies.c.uncounted_end),
        finished_at=bindparam("now"),
    )
    .returning(replies, is_heard_of())
)
_LEFT_WAITING = (
    select(replies.c.conversation_id)
    .distinct()
    .where(is_live(replies), is_queued(replies), replies.c.waits_for_turn, ~IS_BLOCKED)
)
# Clocks of machines that are kept right differ by far less.
CLOCK_STEP_MS = 60_000
_last_end = (
    select(attempts.c.ended_at)
    .where(attempts.c.reply_id == replies.c.id, attempts.c.attempt == replies.c.attempt)
    .scalar_subquery()
)
# What has not been tried since it was queued, at first or again, is available from that instant on; what waits for its
# next try was queued when the one before ended.
_queued_at = case((replies.c.tries == 0, replies.c.available_at), else_=func.coalesce(_last_end, replies.c.created_at))
_from_future = (
    # Said for the index, too.
    is_live(replies)
    & is_queued(replies)
    & (replies.c.available_at > bindparam("now"))
    & (_queued_at > bindparam("now", type_=BigInteger) + CLOCK_STEP_MS)
)
_STAMPED_AHEAD = Prepared(select(replies.c.id).where(is_in_line(replies), _from_future).limit(1))
_STAMP_AGAIN = (
    update(replies)
    .where(_from_future)
    .values(
        available_at=bindparam("now"),
        deadline_at=case(
            (replies.c.tries == 0, bindparam("now", type_=BigInteger) + replies.c.deadline_at - replies.c.available_at),
            (
                replies.c.created_at > bindparam("now"),
                bindparam("now", type_=BigInteger) + replies.c.deadline_at - replies.c.created_at,
            ),
            else_=replies.c.deadline_at,
        ),
        created_at=case((replies.c.created_at > bindparam("now"), bindparam("now")), else_=replies.c.created_at),
    )
)


def take_over(connection: Connection, process_id: str, *, last_beat: int | None, caps: Caps, now: int) -> list[Moved]:
    """Moves on every reply that a dead process held, and takes its row out. `last_beat` None: it has no row at all.

    Returns what was moved: nothing if the process has beaten since.
    """
    if last_beat is not None and not worker_rows.remove_silent(connection, process_id, last_beat=last_beat):
        return []
    held = connection.execute(_HELD, {"of_worker": process_id}).all()
    moved = [_abandon(connection, row, caps=caps, now=now) for row in held]
    if queued := [each.reply_id for each in moved if each.status is ReplyStatus.QUEUED]:
        connection.execute(_SUSPECT, {"reply_ids": queued, "suspects": _suspects(held)})
    return moved


def _suspects(held: Sequence[Row[Any]]) -> list[str]:
    """What of it may have killed the worker: nothing was begun after that.

    What kills mostly does so at once, so it is one of those begun last. Where that are many, as after a burst, they
    could not be tried one by one in a reasonable time, and only the very last one is suspected.
    """
    last = max(held, key=_begun)
    found = [row.id for row in held if _begun(row)[0] >= _begun(last)[0] - AT_ONCE_MS]
    return found if len(found) <= SUSPECTS_AT_MOST else [last.id]


def _begun(row: Row[Any]) -> tuple[int, str]:
    return row.attempt_started_at or 0, row.id


def _abandon(connection: Connection, row: Row[Any], *, caps: Caps, now: int) -> Moved:
    """One reply of a dead worker: again, or to its end, as `on_crash` and the caps say."""
    ending, sent = _end_of_abandoned(row, caps=caps)
    claim = Claim.of_row(row)
    usage = prompts.estimate_lost(connection, claim, row.partial or "", budget=caps.prompt_tokens)
    lost: dict[str, Any] = {"outcome": AttemptOutcome.LOST, "now": now, "sent": sent}
    if ending is None:
        status = moves.requeue(connection, claim, next_at=now, failure=_LOST_WORKER, usage=usage, **lost)
    else:
        status = moves.end(connection, claim, dataclasses.replace(ending, usage=usage), **lost)
    code = ending.failure.code if ending and ending.failure and status is ReplyStatus.FAILED else None
    return Moved(row.id, row.conversation_id, status, token=row.token + 1, lost=row.attempt, code=code)


def _end_of_abandoned(row: Row[Any], *, caps: Caps) -> tuple[Ending | None, Sent]:
    """How the reply ends, or None for another try, and what is kept of what was said."""
    # As far as it was stored; what the log has beyond that is added afterwards, where there still is one.
    kept_with_reply = Sent(lengths=row.partial_lengths)
    if row.on_crash == OnCrash.KEEP_PARTIAL and row.partial:
        kept = Ending(ReplyStatus.INCOMPLETE, row.partial, incomplete_reason=IncompleteReason.WORKER_LOST)
        return kept, kept_with_reply
    if row.on_crash == OnCrash.FAIL:
        return Ending(ReplyStatus.FAILED, row.partial or "", failure=_LOST_WORKER), kept_with_reply
    if row.tries >= caps.tries or row.model_calls >= caps.model_calls:
        return Ending(ReplyStatus.FAILED, row.partial or "", failure=_EXHAUSTED), kept_with_reply
    return None, Sent(lengths=row.partial_lengths, text=row.partial)


def expire(connection: Connection, overdue: Row[Any], *, caps: Caps, now: int) -> Moved:
    """Ends a reply that is past its deadline, queued or running.

    Raises:
        Lost: it has moved since it was found.
    """
    conversation_rows.touch(connection, overdue.conversation_id, now=now)
    row = connection.execute(_EXPIRE, {"reply_id": overdue.id, "held_token": overdue.token, "now": now}).one_or_none()
    if row is None:
        raise moves.Lost(overdue.id)
    if overdue.status == ReplyStatus.IN_PROGRESS:
        claim = Claim.of_row(row)
        attempt_rows.close(
            connection,
            overdue.id,
            overdue.attempt,
            outcome=AttemptOutcome(row.status),
            reply_status=ReplyStatus(row.status),
            usage=prompts.estimate_lost(connection, claim, row.partial or "", budget=caps.prompt_tokens),
            failure=TOO_LATE if row.status == ReplyStatus.FAILED else None,
            now=now,
            sent=Sent(lengths=row.partial_lengths),
        )
    endings.settle_stopped(connection, row, now=now)
    lost = overdue.attempt if overdue.status == ReplyStatus.IN_PROGRESS else None
    code = TOO_LATE.code if row.status == ReplyStatus.FAILED else None
    return Moved(overdue.id, overdue.conversation_id, ReplyStatus(row.status), token=row.token, lost=lost, code=code)


def overdue(connection: Connection, *, now: int, limit: int) -> Sequence[Row[Any]]:
    """Live replies past their deadline."""
    return _OVERDUE.all(connection, {"now": now, "limit": limit})


def has_stamps_from_future(connection: Connection, *, now: int) -> bool:
    """Whether replies in line wait for an instant that only a clock which was set back since could mean.

    What waits for an earlier turn is looked at when that one has ended.
    """
    return _STAMPED_AHEAD.scalar(connection, {"now": now}) is not None


def stamp_again(connection: Connection, *, now: int) -> None:
    """Makes those replies due, with as much time left as they were queued with."""
    connection.execute(_STAMP_AGAIN, {"now": now})


def left_waiting(connection: Connection) -> list[str]:
    """Conversations whose first live turn is not in line: who ended the one before it does not know of the mark."""
    return list(connection.execute(_LEFT_WAITING).scalars())


def call_left_waiting(connection: Connection, conversation_id: str) -> None:
    """Puts that turn in line."""
    conversation_rows.bump(connection, [conversation_id])
    endings.call_next_turn(connection, conversation_id)


def ownerless(connection: Connection) -> list[str]:
    """Processes that hold replies and have no row: each counts as dead."""
    return _OWNERLESS.scalars(connection, {})


def held_by(connection: Connection, process_id: str) -> list[Held]:
    """What the database says this process holds."""
    rows = _HELD_BY.all(connection, {"of_worker": process_id})
    return [Held(Claim.of_row(row), StopRequest(row.stop_requested) if row.stop_requested else None) for row in rows]
