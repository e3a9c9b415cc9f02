"""What people think of replies."""

from __future__ import annotations

from sqlalchemy import Connection

from api.dependencies import Resources
from api.rendering import Row
from api.services import reading
from shared.clock import now_ms
from shared.store import feedback


async def give(
    resources: Resources,
    tenant_id: str,
    reply_id: str,
    *,
    rating: str | None,
    comment: str | None,
    bound_to: str | None,
) -> Row:
    """Notes it with the reply, in the place of what was noted before; no rating takes it back. The reply as it is then.

    Raises:
        NotFound: the tenant has no such reply, or it is not in the conversation that the caller is bound to.
        NotEnded: it is still being made.
    """

    def write(connection: Connection) -> tuple[bool, Row]:
        is_new = feedback.give(
            connection, tenant_id, reply_id, rating=rating, comment=comment, bound_to=bound_to, now=now_ms()
        )
        return is_new, reading.reply(connection, tenant_id, reply_id)

    is_new, row = await resources.database.write(write)
    if is_new:
        resources.announce(row["conversation_id"])
    return row
