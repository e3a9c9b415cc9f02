"""The tries at a reply, as readers see them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from shared.database.models import attempts

_OF_REPLY = select(attempts).where(attempts.c.reply_id == bindparam("of_reply")).order_by(attempts.c.attempt)


_THIS = (attempts.c.reply_id == bindparam("of_reply"), attempts.c.attempt == bindparam("of_attempt"))
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


def of_reply(connection: Connection, reply_id: str) -> Sequence[RowMapping]:
    """Every try at the reply, the first one first."""
    return connection.execute(_OF_REPLY, {"of_reply": reply_id}).mappings().all()
