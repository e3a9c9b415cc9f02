"""The tries at a reply, as readers see them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, bindparam, select

from shared.database.models import attempts

_OF_REPLY = select(attempts).where(attempts.c.reply_id == bindparam("of_reply")).order_by(attempts.c.attempt)


def of_reply(connection: Connection, reply_id: str) -> Sequence[RowMapping]:
    """Every try at the reply, the first one first."""
    return connection.execute(_OF_REPLY, {"of_reply": reply_id}).mappings().all()
