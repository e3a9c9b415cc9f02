"""How a worker comes to hold a reply: one conditional UPDATE that adds to the fencing token.

Locks are taken in one order everywhere: the process's row, then the conversation, then the reply.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, exists, func, insert, null, select, tuple_, update

from shared.database.models import attempts, conversations, is_in_line, is_live, replies
from shared.database.prepared import Prepared
from shared.reply_status import ReplyStatus
from shared.room import AnyRoom, Place, Room
from shared.store import conversations as conversation_rows
from shared.store import workers as worker_rows


class ProcessGone(Exception):
    """The process's own row is gone: others took it for dead. It must stop all it does and take a new id."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A reply that this process holds until it ends it, hands it back, or is taken for dead."""

    reply_id: str
    token: int
    tenant_id: str
    conversation_id: str
    turn: int
    candidate: int
    attempt: int
    tries: int
    model_calls: int
    model: str
    parameters: Mapping[str, Any]
    deadline_at: int
    available_at: int
    becomes_selected: bool = False
    traceparent: str | None = None
    instructions: str | None = None
    key_id: str | None = None
    # Its last worker died of something that may have been this reply.
    is_suspect: bool = False
    # Known only to who has just claimed it: where it is to be asked, and for which end user of the conversation.
    place: Place | None = field(default=None, compare=False)
    end_user: str | None = None

    @classmethod
    def of_row(
        cls,
        row: Row[Any],
        *,
        instructions: str | None = None,
        place: Place | None = None,
        end_user: str | None = None,
    ) -> Claim:
        """The claim that a row of `replies` shows."""
        return cls(
            reply_id=row.id,
            token=row.token,
            tenant_id=row.tenant_id,
            conversation_id=row.conversation_id,
            turn=row.turn,
            candidate=row.candidate,
            attempt=row.attempt,
            tries=row.tries,
            model_calls=row.model_calls,
            model=row.model,
            parameters=row.parameters,
            deadline_at=row.deadline_at,
            available_at=row.available_at,
            becomes_selected=row.becomes_selected,
            traceparent=row.traceparent,
            instructions=row.instructions if row.instructions is not None else instructions,
            place=place,
            key_id=row.key_id,
            is_suspect=row.is_suspect,
            end_user=end_user,
        )


_earlier = replies.alias("earlier")
# While an earlier turn of its conversation is live, a reply waits.
IS_BLOCKED = exists().where(
    _earlier.c.conversation_id == replies.c.conversation_id, _earlier.c.turn < replies.c.turn, is_live(_earlier)
)
_is_due = (
    is_in_line(replies)
    & (replies.c.available_at <= bindparam("now"))
    & (replies.c.deadline_at > bindparam("now"))
    & replies.c.stop_requested.is_(None)
    & ~IS_BLOCKED
)
# What may have killed a worker waits no longer than this for one whose replies could stand another death.
SUSPECTS_WAIT_MS = 60_000
_due_replies = (
    select(*(replies.c[name] for name in ("id", "conversation_id", "model", "next_route", "is_suspect")))
    .where(_is_due, ~replies.c.is_suspect | (replies.c.available_at <= bindparam("suspects_until")))
    .order_by(replies.c.available_at, replies.c.id)
    .limit(bindparam("limit"))
)
# Said twice that they are live, for the index on live turns: the one on all turns has the whole history.
_DUE_IN = Prepared(
    select(replies.c.id).where(replies.c.conversation_id == bindparam("of_conversation"), is_live(replies), _is_due)
)
_DUE_SINCE = select(replies.c.available_at).where(_is_due).order_by(replies.c.available_at, replies.c.id).limit(1)
_CLAIM = Prepared(
    update(replies)
    .where(replies.c.id.in_(bindparam("reply_ids", expanding=True)), _is_due)
    .values(
        status=ReplyStatus.IN_PROGRESS,
        attempt=replies.c.attempt + 1,
        tries=replies.c.tries + 1,
        # Counted before the call: the dead cannot report one.
        model_calls=replies.c.model_calls + 1,
        token=replies.c.token + 1,
        worker_id=bindparam("by_worker"),
        started_at=func.coalesce(replies.c.started_at, bindparam("now")),
        partial=None,
        partial_cursor=None,
        partial_lengths=null(),
    )
    .returning(replies)
)
# On PostgreSQL a claim waits for no other's lock: what somebody holds, or whose conversation, is left for later.
# NO KEY UPDATE passes by whoever only adds what belongs to it, as the search index does right after an ask.
_due_locked = _due_replies.join(conversations, conversations.c.id == replies.c.conversation_id).with_for_update(
    skip_locked=True, key_share=True, of=[conversations, replies]
)


class _Due:
    """A query for what is due."""

    def __init__(self, query: Select[Any]) -> None:
        self._whole = Prepared(query)
        # The same where some models have no place now: what waits for them is left for later, whoever is ahead.
        shut = tuple_(replies.c.model, replies.c.next_route).in_(bindparam("shut", expanding=True))
        self._unless_shut = Prepared(query.where(~shut))

    def read(self, connection: Connection, shut: Sequence[tuple[str, int]], values: Mapping[str, Any]) -> list[Any]:
        """What it finds that is not for a model in `shut`."""
        if shut:
            return self._unless_shut.all(connection, {**values, "shut": shut})
        return self._whole.all(connection, values)


_DUE = _Due(_due_replies)
_DUE_LOCKED = _Due(_due_locked)
_DUE_OF_TENANT_LOCKED = _Due(_due_locked.where(replies.c.tenant_id == bindparam("of_tenant")))
# Each tenant that has replies in line, from one to the next through the index, however many replies each has.
_first = (
    select(func.min(replies.c.tenant_id).label("tenant_id")).where(is_in_line(replies)).cte("tenants", recursive=True)
)
_next = (
    select(func.min(replies.c.tenant_id))
    .where(is_in_line(replies), replies.c.tenant_id > _first.c.tenant_id)
    .correlate(_first)
    .scalar_subquery()
)
_tenants = _first.union_all(select(_next).where(_first.c.tenant_id.is_not(None)))
_TENANTS = Prepared(select(_tenants.c.tenant_id).where(_tenants.c.tenant_id.is_not(None)))
_STARTED = Prepared(insert(attempts))


def has_due(connection: Connection, *, now: int, shut: Sequence[tuple[str, int]] = ()) -> bool:
    """Whether any reply could be claimed that is not `shut`. It takes no lock, so an idle worker writes nothing."""
    return bool(_DUE.read(connection, shut, {"now": now, "suspects_until": now, "limit": 1}))


def due_since(connection: Connection, *, now: int) -> int | None:
    """Since when the reply could be claimed that has waited longest, or None if none could be."""
    found: int | None = connection.execute(_DUE_SINCE, {"now": now}).scalar()
    return found


def due_in(connection: Connection, conversation_id: str, *, now: int) -> list[str]:
    """The replies of the conversation that could be claimed: those of its next turn."""
    return _DUE_IN.scalars(connection, {"of_conversation": conversation_id, "now": now})


def claim(
    connection: Connection,
    worker_id: str,
    *,
    limit: int,
    now: int,
    make_room: Callable[[], Room] = AnyRoom,
    takes_suspects: bool = True,
) -> list[Claim]:
    """Takes up to `limit` due replies, oldest first, none of whose conversation has an earlier turn still live.

    One that may have killed its last worker is taken alone, or, unless this worker `takes_suspects`, left to others for
    a minute.

    Of several tenants each gets its share, so that one who has queued thousands does not delay the others. What there
    is no room for is left queued, and what is behind it is taken: a model that is full delays no other.

    Raises:
        ProcessGone: the worker has no row any more.
    """
    if not worker_rows.lock(connection, worker_id):
        raise ProcessGone
    room, claims = make_room(), list[Claim]()
    while len(claims) < limit:
        # Twice as many each time that the first ones were not those of the fullest upstream.
        asked = min(limit - len(claims), limit if room.least is None else max(room.least, len(claims)))
        shut = room.shut()
        found = _due(connection, limit=asked, now=now, shut=shut, takes_suspects=takes_suspects)
        if takes_suspects:
            for row in found:
                if row.is_suspect and (place := room.take(row.model, row.next_route)) is not None:
                    return _take(connection, [row], {row.id: place}, worker_id=worker_id, now=now)
            takes_suspects = False  # There is none, or no room for it.
        placed = {row.id: place for row in found if (place := room.take(row.model, row.next_route)) is not None}
        claims += _take(connection, [row for row in found if row.id in placed], placed, worker_id=worker_id, now=now)
        if len(found) < asked or (not placed and room.shut() == shut):
            break
    return sorted(claims, key=lambda claim: claim.reply_id)


def _due(
    connection: Connection, *, limit: int, now: int, shut: Sequence[tuple[str, int]], takes_suspects: bool
) -> Sequence[Row[Any]]:
    """Due replies, with their conversations locked: of each tenant about as many, then whatever is due longest."""
    due = {"now": now, "suspects_until": now if takes_suspects else now - SUSPECTS_WAIT_MS}
    tenants = _TENANTS.scalars(connection, {})
    found: dict[str, Row[Any]] = {}
    if len(tenants) > 1:
        random.shuffle(tenants)
        share = max(1, limit // len(tenants))
        for tenant_id in tenants[:limit]:
            own = {**due, "limit": share, "of_tenant": tenant_id}
            found |= {row.id: row for row in _DUE_OF_TENANT_LOCKED.read(connection, shut, own)}
    if tenants and len(found) < limit:
        oldest = _DUE_LOCKED.read(connection, shut, {**due, "limit": limit})
        found |= {row.id: row for row in oldest if row.id not in found}
    return list(found.values())[:limit]


def _take(
    connection: Connection, found: Sequence[Row[Any]], places: Mapping[str, Place], *, worker_id: str, now: int
) -> list[Claim]:
    """Makes the rows, which are locked, the worker's own, and opens an attempt for each."""
    if not found:
        return []
    of = {row.id: row for row in conversation_rows.bump(connection, {row.conversation_id for row in found})}
    taken = _CLAIM.all(connection, {"reply_ids": [row.id for row in found], "by_worker": worker_id, "now": now})
    claims = [
        Claim.of_row(
            row,
            instructions=of[row.conversation_id].instructions,
            place=places[row.id],
            end_user=of[row.conversation_id].end_user,
        )
        for row in taken
    ]
    _record_starts(connection, claims, worker_id=worker_id, now=now)
    return claims


def _record_starts(connection: Connection, claims: Sequence[Claim], *, worker_id: str, now: int) -> None:
    for claim in claims:
        _STARTED.run(
            connection,
            {
                "reply_id": claim.reply_id,
                "attempt": claim.attempt,
                "tenant_id": claim.tenant_id,
                "worker_id": worker_id,
                "model": claim.model,
                "key_id": claim.key_id,
                "end_user": claim.end_user,
                "upstream": claim.place.upstream if claim.place else None,
                "upstream_model": claim.place.model if claim.place and claim.place.upstream else None,
                "started_at": now,
            },
        )
