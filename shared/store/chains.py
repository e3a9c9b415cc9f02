"""Chains: a turn that goes on from one reply, whatever was said after it.

At the tip of a chain that nobody named as a conversation, the turn goes on in the same conversation; anywhere else it
goes on in a copy, so that what others see there stays as it is.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from shared.database.models import replies
from shared.errors import Busy, NotFound
from shared.reply_status import LIVE
from shared.store import candidates, forks
from shared.store import conversations as conversation_rows
from shared.store.replies import is_told


def conversation_after(connection: Connection, tenant_id: str, reply_id: str, *, is_kept: bool, now: int) -> str:
    """The conversation in which what follows the reply is asked: its own one, or a new copy of it up to there.

    Args:
        is_kept: whether what follows is to stay; else it goes into a copy that is forgotten soon.

    Raises:
        NotFound: the tenant has no such reply.
        Busy: it has not ended, and the conversation has gone on without waiting for it.
    """
    row = connection.execute(
        select(replies).where(replies.c.tenant_id == tenant_id, replies.c.id == reply_id)
    ).one_or_none()
    if row is None or not is_told(row.request):
        raise NotFound("There is no such response.")
    last_turn = conversation_rows.touch(connection, row.conversation_id, now=now)
    siblings = connection.execute(
        select(replies.c.id).where(replies.c.conversation_id == row.conversation_id, replies.c.turn == row.turn)
    ).all()
    if is_kept and is_own(row.request) and last_turn == row.turn and (row.selected or len(siblings) == 1):
        return str(row.conversation_id)
    if row.status in LIVE:
        raise Busy("The response before has not ended, and something else follows it already. Ask again when it has.")
    return _copy(connection, row, is_kept=is_kept, now=now)


def _copy(connection: Connection, row: Row[Any], *, is_kept: bool, now: int) -> str:
    """The conversation up to the reply, which is the one that the copy goes on from."""
    kind: conversation_rows.Kind = "chat" if is_kept else "ephemeral"
    copy_id = forks.fork(connection, row.tenant_id, row.conversation_id, up_to_turn=row.turn, now=now, kind=kind)
    same = select(replies).where(
        replies.c.conversation_id == copy_id, replies.c.turn == row.turn, replies.c.candidate == row.candidate
    )
    copied = connection.execute(same).one()
    if not copied.selected and candidates.is_selectable(connection, copied.id):
        candidates.choose(connection, row.tenant_id, copied.id, now=now)
    return copy_id


def holds(request: dict[str, Any] | None) -> bool:
    """Whether the response keeps its chain from being erased: some client may still ask for it."""
    return is_told(request) and not (request or {}).get("is_copy", False)


def is_own(request: dict[str, Any] | None) -> bool:
    """Whether the reply's conversation is only there to hold its chain."""
    return request is not None and not request.get("has_conversation", True)
