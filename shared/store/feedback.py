"""What people think of replies."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from shared.database.models import replies
from shared.errors import NotEnded, NotFound
from shared.reply_status import TERMINAL
from shared.store import conversations as conversation_rows

_WHERE = select(replies.c.conversation_id, replies.c.feedback_rating, replies.c.feedback_comment).where(
    replies.c.tenant_id == bindparam("tenant_id"), replies.c.id == bindparam("reply_id")
)
_GIVE = (
    update(replies)
    .where(replies.c.id == bindparam("of_reply"), replies.c.status.in_(sorted(TERMINAL)))
    .values(
        feedback_rating=bindparam("rating"), feedback_comment=bindparam("comment"), feedback_at=bindparam("given_at")
    )
)


def give(
    connection: Connection,
    tenant_id: str,
    reply_id: str,
    *,
    rating: str | None,
    comment: str | None,
    bound_to: str | None,
    now: int,
) -> bool:
    """Notes what somebody thinks of the reply; no rating takes it back. False if that was noted already.

    With `bound_to` only replies of that conversation are there.

    Raises:
        NotFound: the tenant has no such reply.
        NotEnded: it is still being made.
    """
    row = connection.execute(_WHERE, {"tenant_id": tenant_id, "reply_id": reply_id}).one_or_none()
    if row is None or bound_to not in (None, row.conversation_id):
        raise NotFound("There is no such reply.")
    if (row.feedback_rating, row.feedback_comment) == (rating, comment):
        return False
    # Locks the conversation first, as everything does, and does not move it up in the list.
    conversation_rows.bump(connection, [row.conversation_id])
    given = {"of_reply": reply_id, "rating": rating, "comment": comment, "given_at": now if rating else None}
    if connection.execute(_GIVE, given).rowcount == 0:
        raise NotEnded("This reply has not ended yet.")
    return True
