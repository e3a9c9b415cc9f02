"""Replies as readers see them, and their acceptance. Who moves them afterwards is in `claims`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    String,
    bindparam,
    case,
    column,
    distinct,
    exists,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    union_all,
    update,
    values,
)

from shared.database.models import conversations, in_no_index, is_live, is_running, is_unanswered, messages, replies
from shared.database.prepared import Prepared, PreparedRows
from shared.reply_status import LIVE, ReplyStatus

# What a reader of many replies does not need.
_LARGE = frozenset({"partial", "partial_lengths"})

_earlier = replies.alias("earlier")
_earlier_turns = (
    select(func.count(distinct(_earlier.c.turn)))
    .where(
        _earlier.c.conversation_id == replies.c.conversation_id,
        _earlier.c.turn < replies.c.turn,
        is_live(_earlier),
    )
    .correlate(replies)
    .scalar_subquery()
)
# How many earlier turns of its conversation a queued reply waits for.
TURNS_AHEAD = case((replies.c.status == ReplyStatus.QUEUED, _earlier_turns), else_=0)


def _read(turns_ahead: ColumnElement[int]) -> Select[Any]:
    return select(
        *(column for column in replies.c if column.name not in _LARGE),
        messages.c.id.label("message_id"),
        func.coalesce(messages.c.content, replies.c.partial, "").label("content"),
        turns_ahead.label("turns_ahead"),
    ).select_from(replies.outerjoin(messages, messages.c.reply_id == replies.c.id))


_READ = _read(TURNS_AHEAD)
_ONE = _READ.where(replies.c.tenant_id == bindparam("tenant_id"), replies.c.id == bindparam("reply_id"))
_BY_ID = Prepared(_ONE)
_WHOLE = Prepared(_ONE.add_columns(replies.c.partial_lengths))
# For whoever waits: with the version of its conversation, that of the same moment.
_BY_IDS = Prepared(
    _READ.add_columns(conversations.c.version)
    .join(conversations, conversations.c.id == replies.c.conversation_id)
    .where(replies.c.id.in_(bindparam("reply_ids", expanding=True)))
)
_OF_TURN = Prepared(
    _READ.where(
        replies.c.conversation_id == bindparam("conversation_id"), replies.c.turn == bindparam("turn")
    ).order_by(replies.c.candidate)
)
# Here all that counts is read anyway, and counting it anew for each row would take the square of a long queue.
_LIVE_OF_CONVERSATION = Prepared(
    _read(case((replies.c.status == ReplyStatus.QUEUED, func.dense_rank().over(order_by=replies.c.turn) - 1), else_=0))
    .where(
        replies.c.conversation_id == bindparam("conversation_id"),
        is_live(replies),
    )
    .order_by(replies.c.turn, replies.c.candidate)
)
_PLACES = Prepared(
    select(
        *(replies.c.id, replies.c.status, replies.c.token, replies.c.partial_cursor, replies.c.selected),
        *(replies.c.feedback_rating, replies.c.feedback_comment, replies.c.feedback_at),
    )
    .where(replies.c.conversation_id == bindparam("conversation_id"))
    .order_by(replies.c.turn.desc(), replies.c.candidate.desc())
    .limit(bindparam("limit"))
)
_COUNT_TURNS_AHEAD = Prepared(
    select(func.count(distinct(replies.c.turn))).where(
        replies.c.conversation_id == bindparam("conversation_id"),
        replies.c.turn < bindparam("turn"),
        is_live(replies),
    )
)


def _counting_live_turns(length: int) -> Select[Any]:
    """In so many conversations. One after the other, each by the index that begins with it: asked for all at once,
    PostgreSQL goes through whatever it takes for the smallest index, and that has what is live of all.
    """
    asked = values(column("id", String)).data([(bindparam(f"id_{number}"),) for number in range(length)]).cte("asked")
    live = (
        select(func.count(distinct(replies.c.turn)))
        .where(replies.c.conversation_id == asked.c.id, is_live(replies))
        .correlate(asked)
        .scalar_subquery()
    )
    return select(asked.c.id, live)


_LIVE_TURNS = PreparedRows(_counting_live_turns, may_repeat=True)
_ADD = PreparedRows.inserting(
    insert(replies),
    *("id", "tenant_id", "conversation_id", "turn", "candidate", "status", "model", "parameters", "metadata"),
    *("on_crash", "instructions", "request", "key_id", "traceparent"),
    *("available_at", "deadline_at", "waits_for_turn", "created_at"),
)


_PLACE = (replies.c.turn, replies.c.candidate)
# It is in a conversation that is not kept, and so in no list.
IS_EPHEMERAL = exists().where(
    conversations.c.id == replies.c.conversation_id, conversations.c.kind == literal_column("'ephemeral'")
)


def add(connection: Connection, values: Sequence[Mapping[str, Any]]) -> None:
    """Inserts queued replies; each has every column that has no default, and what may be unset."""
    _ADD.run(connection, values)


def live_turns(connection: Connection, conversation_ids: Collection[str]) -> dict[str, int]:
    """How many turns of each of the conversations are live."""
    return dict(map(tuple, _LIVE_TURNS.all(connection, [{"id": each} for each in conversation_ids])))


def get(connection: Connection, tenant_id: str, reply_id: str) -> Mapping[str, Any] | None:
    """The reply with its text so far, or None if the tenant has no such one."""
    return _BY_ID.mapping(connection, {"tenant_id": tenant_id, "reply_id": reply_id})


def by_ids(connection: Connection, reply_ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Those of the replies that there are, whoever's, by their ids; each with the `version` of its conversation."""
    return {row["id"]: row for row in _BY_IDS.mappings(connection, {"reply_ids": list(reply_ids)})}


def whole(connection: Connection, tenant_id: str, reply_id: str) -> Mapping[str, Any] | None:
    """The reply with the pieces in which its text so far went out, or None if the tenant has no such one."""
    return _WHOLE.mapping(connection, {"tenant_id": tenant_id, "reply_id": reply_id})


def is_told(request: Mapping[str, Any] | None) -> bool:
    """Whether clients may still have the reply: it was to be stored, and is not deleted."""
    return request is None or (request.get("store", True) and not request.get("is_deleted", False))


def note_request(connection: Connection, reply_id: str, request: Mapping[str, Any]) -> None:
    """Keeps what a request said with the reply."""
    connection.execute(update(replies).where(replies.c.id == reply_id).values(request=dict(request)))


def requests_in(connection: Connection, conversation_id: str) -> list[dict[str, Any] | None]:
    """What the requests for the replies of a conversation said."""
    return list(
        connection.execute(select(replies.c.request).where(replies.c.conversation_id == conversation_id)).scalars()
    )


def of_turn(connection: Connection, conversation_id: str, turn: int) -> Sequence[Mapping[str, Any]]:
    """The candidates of a turn."""
    return _OF_TURN.mappings(connection, {"conversation_id": conversation_id, "turn": turn})


def live(connection: Connection, conversation_id: str) -> Sequence[Mapping[str, Any]]:
    """The replies of a conversation that are not terminal, in order."""
    return _LIVE_OF_CONVERSATION.mappings(connection, {"conversation_id": conversation_id})


def places(connection: Connection, conversation_id: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
    """How far the newest replies of a conversation have come, which are selected, and what is thought of them.

    Without what they say.
    """
    return _PLACES.mappings(connection, {"conversation_id": conversation_id, "limit": limit})


_LIVE_BY_TENANT = (
    select(replies.c.tenant_id, func.count().label("live")).where(is_live(replies)).group_by(replies.c.tenant_id)
)
# Each from a partial index that has no other rows.
_COUNT_LIVE = select(
    select(func.count()).where(is_live(replies)).scalar_subquery().label("live"),
    select(func.count()).where(is_running(replies)).scalar_subquery().label("running"),
)


def live_by_tenant(connection: Connection) -> dict[str, int]:
    """How many replies each tenant has queued or running."""
    return {row.tenant_id: row.live for row in connection.execute(_LIVE_BY_TENANT)}


def count_live(connection: Connection) -> dict[ReplyStatus, int]:
    """How many replies are queued and how many are running, of all tenants."""
    counts = connection.execute(_COUNT_LIVE).one()
    return {ReplyStatus.QUEUED: counts.live - counts.running, ReplyStatus.IN_PROGRESS: counts.running}


def turns_ahead(connection: Connection, conversation_id: str, turn: int) -> int:
    """How many earlier turns of the conversation are still live."""
    return int(_COUNT_TURNS_AHEAD.scalar(connection, {"conversation_id": conversation_id, "turn": turn}))


def page(
    connection: Connection,
    tenant_id: str,
    *,
    limit: int,
    after: str | None,
    statuses: Collection[ReplyStatus],
    conversation_id: str | None,
) -> Sequence[RowMapping]:
    """Up to `limit` replies, newest first, after the reply that ended the page before.

    What is not to be kept is in no list.
    """
    if conversation_id is not None:
        return _page_of_conversation(
            connection, tenant_id, conversation_id, limit=limit, after=after, statuses=statuses
        )
    listed = [replies.c.tenant_id == tenant_id, ~IS_EPHEMERAL]
    if after is not None:
        listed.append(replies.c.id < after)
    if statuses:
        # Of each status the newest, by the index that has it: those that were wanted may be few among millions.
        newest = [_newest_having(status, listed).limit(limit).subquery() for status in sorted(statuses)]
        listed = [replies.c.id.in_(union_all(*(select(each.c.id) for each in newest)))]
    return connection.execute(_READ.where(*listed).order_by(replies.c.id.desc()).limit(limit)).mappings().all()


def _newest_having(status: ReplyStatus, listed: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The ids of those that have the status, the newest first, with the condition of the partial index on it."""
    query = select(replies.c.id).where(*listed, replies.c.status == literal_column(f"'{status}'"))
    if status in LIVE:
        return query.where(is_live(replies)).order_by(in_no_index(replies.c.id).desc())
    if status is not ReplyStatus.COMPLETED:
        query = query.where(is_unanswered(replies))
    return query.order_by(replies.c.id.desc())


def _page_of_conversation(
    connection: Connection,
    tenant_id: str,
    conversation_id: str,
    *,
    limit: int,
    after: str | None,
    statuses: Collection[ReplyStatus],
) -> Sequence[RowMapping]:
    """In the order of its turns, by their index, which is that in which they were asked for."""
    query = _READ.where(replies.c.tenant_id == tenant_id, replies.c.conversation_id == conversation_id)
    if statuses:
        query = query.where(replies.c.status.in_(sorted(statuses)))
    if after is not None:
        place = connection.execute(select(*_PLACE).where(replies.c.id == after)).one_or_none()
        if place is None:
            return ()
        query = query.where(tuple_(*_PLACE) < tuple_(*place))
    return connection.execute(query.order_by(*(each.desc() for each in _PLACE)).limit(limit)).mappings().all()
