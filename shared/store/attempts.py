"""The tries at a reply: how each went, and what was said in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Integer, RowMapping, bindparam, case, select, update

from shared.clock import day_of
from shared.database.models import attempts
from shared.database.prepared import Prepared
from shared.ending import NOTHING_SENT, Failure, Sent, Usage
from shared.reply_status import AttemptOutcome, ReplyStatus

_OF_REPLY = select(attempts).where(attempts.c.reply_id == bindparam("of_reply")).order_by(attempts.c.attempt)


_THIS = (attempts.c.reply_id == bindparam("of_reply"), attempts.c.attempt == bindparam("of_attempt"))
_CLOSE = Prepared(
    update(attempts)
    # A try ends once, and so its usage counts once, whoever ends it.
    .where(*_THIS, attempts.c.ended_at.is_(None))
    .values(
        ended_at=bindparam("now"),
        outcome=bindparam("new_outcome"),
        reply_status=bindparam("new_reply_status"),
        uncounted_day=bindparam("new_day"),
        error_code=bindparam("new_error_code"),
        error_message=bindparam("new_error_message"),
        input_tokens=bindparam("new_input_tokens"),
        output_tokens=bindparam("new_output_tokens"),
        usage_estimated=bindparam("new_usage_estimated"),
        lengths=bindparam("new_lengths", type_=attempts.c.lengths.type),
        text=bindparam("new_text"),
        first_token_ms=bindparam("new_first_token_ms"),
    )
)
_KEPT = select(attempts.c.lengths).where(*_THIS).with_for_update()
_IS_UNCOUNTED = attempts.c.uncounted_day.is_not(None)
_KEEP = (
    update(attempts)
    .where(*_THIS)
    .values(
        lengths=bindparam("new_lengths", type_=attempts.c.lengths.type),
        text=bindparam("new_text"),
        output_tokens=case((_IS_UNCOUNTED, bindparam("new_tokens", type_=Integer)), else_=attempts.c.output_tokens),
    )
)


def keep_what_was_said(
    connection: Connection, reply_id: str, attempt: int, *, lengths: Sequence[int], text: str, tokens: int
) -> None:
    """Adds to a try whose worker died what had gone out by then, unless more than that is known.

    `tokens` is what that text is estimated to have cost; once the try's usage is counted, it stays as it was.
    """
    this = {"of_reply": reply_id, "of_attempt": attempt}
    kept = connection.execute(_KEPT, this).one_or_none()
    if kept is not None and len(kept.lengths or ()) < len(lengths):
        connection.execute(_KEEP, {**this, "new_lengths": list(lengths), "new_text": text, "new_tokens": tokens})


def close(
    connection: Connection,
    reply_id: str,
    attempt: int,
    *,
    outcome: AttemptOutcome,
    reply_status: ReplyStatus,
    usage: Usage | None,
    failure: Failure | None,
    now: int,
    sent: Sent = NOTHING_SENT,
) -> None:
    """Records how a try went, what it cost and what the reply has come to by it."""
    _CLOSE.run(
        connection,
        {
            "of_reply": reply_id,
            "of_attempt": attempt,
            "new_outcome": outcome,
            "new_reply_status": reply_status if reply_status.is_terminal else None,
            "new_day": day_of(now),
            "new_error_code": failure.code if failure else None,
            "new_error_message": failure.message if failure else None,
            **usage_columns(usage),
            "new_lengths": None if sent.lengths is None else list(sent.lengths),
            "new_text": sent.text,
            "new_first_token_ms": sent.first_token_ms,
            "now": now,
        },
    )


def usage_columns(usage: Usage | None) -> Mapping[str, Any]:
    """The values of the columns that count tokens."""
    return {
        "new_input_tokens": usage.input_tokens if usage else None,
        "new_output_tokens": usage.output_tokens if usage else None,
        "new_usage_estimated": usage.is_estimated if usage else None,
    }


def of_reply(connection: Connection, reply_id: str) -> Sequence[RowMapping]:
    """Every try at the reply, the first one first."""
    return connection.execute(_OF_REPLY, {"of_reply": reply_id}).mappings().all()
