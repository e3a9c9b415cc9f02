"""The tries at a reply: how each went, and what was said in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from shared.database.models import attempts
from shared.ending import NOTHING_SENT, Ending, Failure, Sent, Usage
from shared.reply_status import AttemptOutcome

_OF_REPLY = select(attempts).where(attempts.c.reply_id == bindparam("of_reply")).order_by(attempts.c.attempt)


_THIS = (attempts.c.reply_id == bindparam("of_reply"), attempts.c.attempt == bindparam("of_attempt"))
_CLOSE = (
    update(attempts)
    .where(*_THIS)
    .values(
        ended_at=bindparam("now"),
        outcome=bindparam("new_outcome"),
        error_code=bindparam("new_error_code"),
        error_message=bindparam("new_error_message"),
        input_tokens=bindparam("new_input_tokens"),
        output_tokens=bindparam("new_output_tokens"),
        lengths=bindparam("new_lengths", type_=attempts.c.lengths.type),
        text=bindparam("new_text"),
    )
)
_KEPT = select(attempts.c.lengths).where(*_THIS).with_for_update()
_KEEP = (
    update(attempts)
    .where(*_THIS)
    .values(lengths=bindparam("new_lengths", type_=attempts.c.lengths.type), text=bindparam("new_text"))
)


def keep_what_was_said(
    connection: Connection, reply_id: str, attempt: int, *, lengths: Sequence[int], text: str
) -> None:
    """Adds to a try whose worker died what had gone out by then, unless more than that is known."""
    this = {"of_reply": reply_id, "of_attempt": attempt}
    kept = connection.execute(_KEPT, this).one_or_none()
    if kept is not None and len(kept.lengths or ()) < len(lengths):
        connection.execute(_KEEP, {**this, "new_lengths": list(lengths), "new_text": text})


def close(
    connection: Connection,
    reply_id: str,
    attempt: int,
    *,
    outcome: AttemptOutcome,
    ending: Ending | None,
    failure: Failure | None,
    now: int,
    sent: Sent = NOTHING_SENT,
) -> None:
    """Records how a try went."""
    connection.execute(
        _CLOSE,
        {
            "of_reply": reply_id,
            "of_attempt": attempt,
            "new_outcome": outcome,
            "new_error_code": failure.code if failure else None,
            "new_error_message": failure.message if failure else None,
            **usage_columns(ending.usage if ending else None),
            "new_lengths": None if sent.lengths is None else list(sent.lengths),
            "new_text": sent.text,
            "now": now,
        },
    )


def usage_columns(usage: Usage | None) -> Mapping[str, Any]:
    """The values of the columns that count tokens."""
    return {
        "new_input_tokens": usage.input_tokens if usage else None,
        "new_output_tokens": usage.output_tokens if usage else None,
    }


def of_reply(connection: Connection, reply_id: str) -> Sequence[RowMapping]:
    """Every try at the reply, the first one first."""
    return connection.execute(_OF_REPLY, {"of_reply": reply_id}).mappings().all()
